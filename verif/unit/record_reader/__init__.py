"""Bench of ``record_reader``."""
