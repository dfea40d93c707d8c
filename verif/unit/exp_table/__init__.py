"""Bench of ``exp_table``."""
