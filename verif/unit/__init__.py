"""Block benches: one package a block."""
