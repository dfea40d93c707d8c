"""Simulations of whole large networks: minutes, outside `make test`."""
