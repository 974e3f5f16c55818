"""Makes the embedded model: scenes of coloured shapes, its training, and judges of what it draws."""
