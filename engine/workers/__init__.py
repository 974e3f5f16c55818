"""Executes runs in a separate process, which receives requests, sends events and can be killed."""
