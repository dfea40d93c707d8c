"""Verification of the RTL against ``toolflow``."""
