"""Datasets: folders of pictures with captions, as a wire value, and the code that reads them."""
