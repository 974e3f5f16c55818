"""The training nodes: they encode pictures, train, save checkpoints, draw samples, and record losses."""
