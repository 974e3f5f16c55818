"""Converts ComfyUI's workflows to graphs."""
