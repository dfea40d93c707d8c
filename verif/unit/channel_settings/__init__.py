"""Bench of ``channel_settings``."""
