"""Compile a network with hls4ml and time its bit-accurate emulation; print JSON.

    PYTHON hls4ml_speed.py MODEL.onnx IMAGES WORKFOLDER

Run by ``bench.py`` in an environment of its own (requirements/hls4ml.lock). hls4ml's own way: the
network with channels last, default wordlengths (``fixed<16,6>``), compiled with g++ for this
processor.
"""

from __future__ import annotations

import json
import sys
import time

import hls4ml
import numpy as np
import onnx
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.transformation.gemm_to_matmul import GemmToMatMul
from qonnx.util.cleanup import cleanup_model


def main(model: str, images: int, folder: str) -> None:
    """Convert, compile, and emulate drawn images."""
    graph = onnx.load(model)
    for node in graph.graph.node:
        # It wants what ONNX lets be left out.
        if node.op_type in ("Conv", "MaxPool") and "pads" not in {a.name for a in node.attribute}:
            node.attribute.append(onnx.helper.make_attribute("pads", [0, 0, 0, 0]))
    wrapped = cleanup_model(ModelWrapper(graph))
    wrapped = wrapped.transform(ConvertToChannelsLastAndClean())
    wrapped = cleanup_model(wrapped.transform(GemmToMatMul()))
    config = hls4ml.utils.config_from_onnx_model(
        wrapped, granularity="name", backend="Vitis", default_precision="fixed<16,6>"
    )
    config["Model"]["Strategy"] = "Resource"
    emulator = hls4ml.converters.convert_from_onnx_model(
        wrapped, output_dir=folder, backend="Vitis", io_type="io_stream", hls_config=config
    )
    begin = time.perf_counter()
    emulator.compile()
    compiled = time.perf_counter()
    shape = wrapped.get_tensor_shape(wrapped.graph.input[0].name)[1:]
    pixels = np.random.default_rng(0).normal(0, 1, (images, *shape)).astype(np.float32)
    start = time.perf_counter()
    emulator.predict(pixels)
    rate = images / (time.perf_counter() - start)
    print(json.dumps({"compile_s": compiled - begin, "images_per_s": rate}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
