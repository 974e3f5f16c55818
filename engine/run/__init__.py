"""Runs a plan: worker threads, step locks and lifecycles."""
