"""The GPU worker: one process, one device, a few slots."""
