"""Runs a plan: starts worker threads, locks steps against other processes, and calls lifecycles."""
