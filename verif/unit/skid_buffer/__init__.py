"""Bench of ``skid_buffer``."""
