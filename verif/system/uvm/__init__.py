"""The whole accelerator in a UVM environment (pyuvm)."""
