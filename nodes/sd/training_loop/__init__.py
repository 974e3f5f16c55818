"""The training loop: optimizer, averaged weights, checkpoints. It does not know which networks it trains."""
