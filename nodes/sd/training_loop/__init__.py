"""The training loop: data order, optimizers, learning rates, averages, checkpoints. It knows no networks."""
