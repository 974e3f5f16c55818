"""Turns bound nodes into steps with content keys, and finds which results the store already holds."""
