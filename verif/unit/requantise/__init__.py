"""Bench of ``requantise``."""
