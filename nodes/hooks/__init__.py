"""The hooks that a session calls besides running nodes: advice, estimates, lengths of prompts, imports."""
