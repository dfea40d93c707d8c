"""Bench of ``cascade_control``."""
