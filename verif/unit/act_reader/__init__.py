"""Bench of ``act_reader``."""
