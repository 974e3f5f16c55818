"""Upscale models, such as ESRGAN and Real-ESRGAN: their networks, their files, and upscaling in tiles."""
