"""Devices, the resource model and the performance model. Knows nothing of accuracy."""
