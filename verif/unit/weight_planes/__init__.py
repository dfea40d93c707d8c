"""Bench of ``weight_planes``."""
