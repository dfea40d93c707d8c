"""Bench of ``axi_read``."""
