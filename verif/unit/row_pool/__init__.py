"""Bench of ``row_pool``."""
