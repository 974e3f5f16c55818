"""Results under their keys, in memory and on disk.

A run uses a `Tiered` store: `Memory` holds live values for this process, `Disk` holds packed values for later
processes. `result_eviction` decides which results go when a tier is full; `store` has the base class of all
stores. `shared_folder` holds the parts of the disk tier, and explains how several processes share one folder.

`engine.run.step_locks` decides which process computes a step that several processes need at once.
"""
