"""Observes runs: journal, trace, telemetry, and warnings that are kept with results."""
