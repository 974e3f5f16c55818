"""Noise schedules, samplers and the denoising loop."""
