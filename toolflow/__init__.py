"""CascadeCNN toolflow: from a trained CNN to a two-stage low/high-precision FPGA accelerator."""

__version__ = "0.1.0"
