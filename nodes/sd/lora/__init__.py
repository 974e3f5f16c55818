"""LoRA and related formats: the key names of every tool, the formulas, and networks patched with them."""
