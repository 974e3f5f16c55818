"""Operations on latents that need no model."""
