"""What a session asks of these nodes besides running them: advice, estimates, lengths of prompts, imports."""
