"""Bench of ``output_writer``."""
