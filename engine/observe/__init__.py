"""Observes runs: writes journals, traces and telemetry, and keeps the warnings of cached results."""
