"""The hooks that a session calls: warnings, estimates, token counts of prompts, and imports ahead of runs."""
