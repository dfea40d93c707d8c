"""Bench of ``weight_reader``."""
