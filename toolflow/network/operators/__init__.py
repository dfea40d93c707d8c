"""ONNX operators to layers: one converter an operator, `table` finds it."""
