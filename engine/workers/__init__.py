"""Runs requests in a separate process: takes requests, sends events, and can be cancelled at any time."""
