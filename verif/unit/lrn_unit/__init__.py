"""Bench of ``lrn_unit``."""
