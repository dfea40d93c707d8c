"""Bench of ``fifo``."""
