"""Whole networks through ``cnn_engine``."""
