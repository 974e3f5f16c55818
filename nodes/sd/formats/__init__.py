"""Files that other tools made: safetensors and pickles, read without trusting a byte of them."""
