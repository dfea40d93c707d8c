"""Bench of ``weight_truncate``."""
