"""Pre-processing and class names from a model's metadata, and the user's say over them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from toolflow.errors import UserError
from toolflow.network.graph import Preprocessing, Shape
from toolflow.network.preprocessing_note import Note, read_note

CHANNEL_ORDERS = ("RGB", "BGR", "grey")
NOTE_KEY = "preproc"
_VALUE_KEYS = ("input_scale", "mean", "std")


@dataclass(frozen=True)
class PreprocessingOverride:
    """What the user states; ``None`` leaves the model's metadata (or the default) standing."""

    scale: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channel_order: str | None = None

    @property
    def states_values(self) -> bool:
        """Whether any number is given."""
        return not (self.scale is None and self.mean is None and self.std is None)


def read_preprocessing(
    metadata: Mapping[str, str], shape: Shape, override: PreprocessingOverride | None = None
) -> Preprocessing:
    """Pre-processing from the metadata, with the user's values over them.

    Read are the keys ``input_scale``, ``mean``, ``std`` and ``channel_order``; ``mean`` and ``std``
    are JSON: a number, or a list of one number or one per channel. Where none of the first three is
    there, the prose of ``preproc`` is read (see `preprocessing_note`), with ``channel_order`` over
    it. What of it is not understood is passed over only where the user states values. Other
    metadata are left alone. Raises `UserError` on values that cannot be meant.
    """
    channels = shape[0] if len(shape) == 3 else 1
    if NOTE_KEY in metadata and not any(key in metadata for key in _VALUE_KEYS):
        stated = _from_note(metadata, shape, override)
    else:
        stated = _from_keys(metadata, channels)
    return apply_override(stated, override, channels)


def _from_note(
    metadata: Mapping[str, str], shape: Shape, override: PreprocessingOverride | None
) -> Preprocessing:
    note = read_note(metadata[NOTE_KEY])
    unclear = list(note.unclear)
    if note.crop is not None and shape[1:] != (note.crop, note.crop):
        size = " x ".join(map(str, shape[1:])) or "no map"
        unclear.append(f"'{note.crop} centre crop' (the network's input is {size})")
    if unclear and not (override and override.states_values):
        raise UserError(
            f"metadata {NOTE_KEY!r} is {metadata[NOTE_KEY][:200]!r}: not understood: "
            f"{'; '.join(unclear)}. Understood: {note.summary()}. State the pre-processing with "
            "--scale, --mean and --std, and --channel-order where it is not RGB; what you leave "
            "out is taken as understood."
        )
    channels = shape[0] if len(shape) == 3 else 1
    keys = _from_keys(metadata, channels)
    preprocessing = _with_note(keys, note)
    if "channel_order" in metadata:
        preprocessing = replace(preprocessing, channel_order=keys.channel_order)
    check_preprocessing(preprocessing, channels, f"metadata {NOTE_KEY!r}")
    return preprocessing


def _with_note(defaults: Preprocessing, note: Note) -> Preprocessing:
    return Preprocessing(
        scale=defaults.scale if note.scale is None else note.scale,
        mean=note.mean or defaults.mean,
        std=note.std or defaults.std,
        channel_order=note.channel_order or defaults.channel_order,
        stated=note.scale is not None,
        short_side=note.short_side,
    )


def _from_keys(metadata: Mapping[str, str], channels: int) -> Preprocessing:
    layout = metadata.get("layout", "NCHW")
    if layout != "NCHW":
        raise UserError(f"metadata 'layout' is {layout!r}; only NCHW is read: export NCHW.")
    default_order = "grey" if channels == 1 else "RGB"
    scales = _numbers(metadata, "input_scale", 1.0)
    if len(scales) != 1:
        raise UserError("metadata 'input_scale' holds several numbers: give one.")
    preprocessing = Preprocessing(
        scale=scales[0],
        mean=_numbers(metadata, "mean", 0.0),
        std=_numbers(metadata, "std", 1.0),
        channel_order=metadata.get("channel_order", default_order),
        stated=any(key in metadata for key in _VALUE_KEYS),
    )
    check_preprocessing(preprocessing, channels, "the model's metadata")
    return preprocessing


def apply_override(
    preprocessing: Preprocessing, override: PreprocessingOverride | None, channels: int
) -> Preprocessing:
    """The user's values over the model's; `UserError` where they do not fit the input."""
    if override is None:
        return preprocessing
    result = replace(
        preprocessing,
        scale=preprocessing.scale if override.scale is None else override.scale,
        mean=preprocessing.mean if override.mean is None else override.mean,
        std=preprocessing.std if override.std is None else override.std,
        channel_order=override.channel_order or preprocessing.channel_order,
        stated=preprocessing.stated or override.states_values,
    )
    check_preprocessing(result, channels, "the options --scale, --mean, --std")
    return result


def check_preprocessing(preprocessing: Preprocessing, channels: int, origin: str) -> None:
    """Raise `UserError`, naming ``origin``, where values are unusable or do not fit."""
    for key, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if len(values) not in (1, channels):
            raise UserError(
                f"{origin}: {key} has {len(values)} values, the network's input has {channels} "
                "channels: give one value, or one per channel."
            )
    numbers = (preprocessing.scale, *preprocessing.mean, *preprocessing.std)
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{origin}: scale, mean and std must be finite numbers.")
    if preprocessing.scale <= 0 or min(preprocessing.std) <= 0:
        raise UserError(f"{origin}: scale and std divide the image, so must be above zero.")
    if preprocessing.channel_order not in CHANNEL_ORDERS:
        raise UserError(
            f"{origin}: channel order {preprocessing.channel_order!r} is unknown: "
            f"use one of {', '.join(CHANNEL_ORDERS)}."
        )


def read_class_names(metadata: Mapping[str, str], classes: int) -> tuple[str, ...]:
    """Class names from the JSON list ``classes``; empty where it is absent or has another size."""
    try:
        names = json.loads(metadata.get("classes", "[]"))
    except (ValueError, RecursionError):
        return ()
    if not isinstance(names, list) or len(names) != classes:
        return ()
    return tuple(str(name) for name in names)


def _numbers(metadata: Mapping[str, str], key: str, default: float) -> tuple[float, ...]:
    text = metadata.get(key)
    if text is None:
        return (default,)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    values = value if isinstance(value, list) else [value]
    if not values or not all(type(v) in (int, float) for v in values):
        raise UserError(
            f"metadata {key!r} is {text!r}; a number or a JSON list of numbers is read: "
            "correct it in the file's metadata_props."
        )
    try:
        return tuple(float(v) for v in values)
    except OverflowError:
        raise UserError(f"metadata {key!r} holds a number too large to use.") from None
