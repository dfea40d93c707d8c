"""Simulation of planned accelerators: Verilator builds, memory, comparison with the emulator."""
