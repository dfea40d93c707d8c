"""Values of ports that carry a layer's descriptor."""

from __future__ import annotations

from collections.abc import Mapping

from toolflow.emission.descriptors import FIELDS


def descriptor_word(values: Mapping[str, int]) -> int:
    """Return a ``descriptor_t``: the first field in the highest bits; fields left out are 0."""
    word = 0
    for field in FIELDS:
        word = word << field.width | values.get(field.name, 0) & ((1 << field.width) - 1)
    return word
