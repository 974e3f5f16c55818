"""Turns bound nodes into steps with content keys, and finds the results that the store already has."""
