"""Where results are kept: memory over disk, under content keys."""
