"""Upscale models (ESRGAN and its kin): their networks, their files, and upscaling in tiles."""
