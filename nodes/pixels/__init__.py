"""Operations on the pixels of pictures and the levels of masks, without node classes."""
