"""Benches of several blocks together, on planned networks."""
