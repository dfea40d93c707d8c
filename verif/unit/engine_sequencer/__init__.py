"""Bench of ``engine_sequencer``."""
