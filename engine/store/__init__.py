"""The cache of results: stores them under their keys, in memory and on disk.

A run uses a `Tiered` store: `Memory` holds live values for this process, `Disk` holds packed values for later
processes. `result_eviction` decides which results a full tier removes first; `store` has the base class of
all stores. `shared_folder` has the parts of the disk tier, and explains how several processes share a folder.

`engine.run.step_locks` decides which process computes a step that several processes need at the same time.
"""
