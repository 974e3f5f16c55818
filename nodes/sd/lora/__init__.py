"""LoRA and its kin: every tool's keys, the mathematics of every kind, and networks changed by them."""
