"""Training inside a step: encodes pictures, saves checkpoints, draws samples, and records losses."""
