"""The emulator's parameters, read back from the images that hardware finds in memory.

``read_parameters`` undoes ``memory_images`` bit for bit, so whatever runs on its result has run on
exactly the words that were emitted.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import numpy as np

from toolflow.emission.memory_images import (
    ALIGNMENT,
    RECORD_BYTES,
    TABLE_BYTES,
    channel_sums,
    pack_table,
    plane_bytes,
    unpack_plane,
    unpack_records,
)
from toolflow.emission.memory_order import emulator_weights
from toolflow.emulator.integer_network import (
    IntegerLrn,
    StoredLayer,
    StoredParameters,
    compile_layer,
    cut_weights,
    window_shift,
)
from toolflow.errors import UserError
from toolflow.fixedpoint import BIAS_BITS, CORRECTION_BITS, Format, IntArray, join_planes, window
from toolflow.network.graph import Lrn, Network, WeightLayer
from toolflow.quantisation.scheme import Scheme

WEIGHTS_FILE = "weights.bin"
CHANNELS_FILE = "channels.bin"


def read_parameters(folder: Path, network: Network, hpu: Scheme, lpu: Scheme) -> StoredParameters:
    """Return the parameters in a plan's folder.

    Args:
        folder: where ``weights.bin`` and ``channels.bin`` are.
        network: the planned network; only its layers' shapes are used.
        hpu: the plan's scheme of the stored words.
        lpu: the plan's scheme of the words cut from them.

    Raises:
        UserError: a file is missing or is not what the schemes say.
    """
    weights = _read_weights(folder / WEIGHTS_FILE, network, hpu, lpu)
    path = folder / CHANNELS_FILE
    sizes = {layer.name: RECORD_BYTES * layer.weight.shape[0] for layer in network.weight_layers}
    lrns = [layer for layer in network.layers if isinstance(layer, Lrn)]
    tables = {layer.name: TABLE_BYTES for layer in lrns}
    parts, *found = _parts(path, [sizes, tables, tables])
    for scheme, of_unit in zip((lpu, hpu), found, strict=True):
        for layer in lrns:
            made = compile_layer(layer, scheme)
            assert isinstance(made, IntegerLrn)
            if of_unit[layer.name] != pack_table(made.table):
                raise UserError(
                    f"{path}: layer {layer.name}: its table is not the plan's; the files are not "
                    "of one plan, make the plan again"
                )
    layers = {
        layer.name: _layer(path, layer, parts[layer.name], weights[layer.name], hpu, lpu)
        for layer in network.weight_layers
    }
    return StoredParameters(hpu, MappingProxyType(layers), hpu.tensors[network.input])


def _read_weights(path: Path, network: Network, hpu: Scheme, lpu: Scheme) -> dict[str, IntArray]:
    bits, low_bits = {}, {}
    for layer in network.weight_layers:
        low_bits[layer.name] = window_shift(hpu.weights[layer.name], lpu.weights[layer.name])
        bits[layer.name] = hpu.weights[layer.name].bits - low_bits[layer.name]
    high_parts, low_parts = _parts(
        path,
        [
            {
                layer.name: plane_bytes(layer.weight.size, widths[layer.name])
                for layer in network.weight_layers
            }
            for widths in (bits, low_bits)
        ],
    )
    weights = {}
    for layer in network.weight_layers:
        name, count = layer.name, layer.weight.size
        high = unpack_plane(high_parts[name], bits[name], count)
        low = unpack_plane(low_parts[name], low_bits[name], count)
        words = join_planes(high, low, low_bits[name])
        _check_range(path, name, "weight", words, hpu.weights[name].bits)
        weights[name] = np.ascontiguousarray(emulator_weights(network, layer, words))
    return weights


def _layer(
    path: Path, layer: WeightLayer, data: bytes, weight: IntArray, hpu: Scheme, lpu: Scheme
) -> StoredLayer:
    """Return a layer of its weights and its records' bytes; see ``memory_images``."""
    name, source = layer.name, layer.inputs[0]
    stored_format, fmt = hpu.weights[name], lpu.weights[name]
    records = unpack_records(data, len(weight))
    if not np.array_equal(records.step, stored_format.steps):
        raise UserError(
            f"{path}: layer {name}: the channels' steps are not the plan's; the files are not of "
            "one plan, make the plan again"
        )
    fracs, lpu_fracs = (
        np.array(scheme.weights[name].fracs) + scheme.tensors[source].frac for scheme in (hpu, lpu)
    )
    full = Format(BIAS_BITS, 0)

    def cut(words: IntArray) -> IntArray:
        return window(words, fracs - lpu_fracs, full.low, full.high)

    bias = records.bias + hpu.tensors[source].zero * channel_sums(weight)
    lpu_sums = channel_sums(cut_weights(weight, stored_format, fmt))
    lpu_bias = cut(records.bias) + records.correction + lpu.tensors[source].zero * lpu_sums
    correction = lpu_bias - cut(bias)
    _check_range(path, name, "bias", bias, BIAS_BITS)
    _check_range(path, name, "correction", correction, CORRECTION_BITS)
    for array in (weight, bias, fracs, correction):
        array.flags.writeable = False
    return StoredLayer(weight, stored_format, bias, fracs, correction)


def _parts(path: Path, sections: list[dict[str, int]]) -> list[dict[str, bytes]]:
    """Return the file's aligned parts of the given sizes, section after section."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); make the plan again"
        ) from error
    parts, start = [], 0
    for sizes in sections:
        section = {}
        for name, size in sizes.items():
            section[name] = data[start : start + size]
            start += size + -size % ALIGNMENT
        parts.append(section)
    if len(data) != start:
        raise UserError(
            f"{path}: is {len(data)} bytes long and should be {start}; the file is damaged or not "
            "of this plan, make the plan again"
        )
    return parts


def _check_range(path: Path, layer: str, what: str, values: IntArray, bits: int) -> None:
    fmt = Format(bits, 0)
    if values.size and not fmt.low <= values.min() <= values.max() <= fmt.high:
        raise UserError(
            f"{path}: layer {layer}: a {what} is outside {bits} bits; the file is damaged or not "
            "of this plan, make the plan again"
        )
