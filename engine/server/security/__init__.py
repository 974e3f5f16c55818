"""ASGI middleware that checks every request before the API receives it."""
