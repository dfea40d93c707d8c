"""ONNX files to the typed layer graph (`graph`), its inspection and its float reference."""
