"""The embedded model: scenes of coloured shapes, and a small diffusion model in the form of SD 1."""
