"""Bench of ``axi_write``."""
