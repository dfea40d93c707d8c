"""Reads an ONNX file from disk, with its external data, and refuses what is not one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor

from toolflow.errors import UserError

OLDEST_OPSET = 9
NEWEST_OPSET = int(onnx.defs.onnx_opset_version())
DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True, eq=False)
class ModelFile:
    """A parsed ONNX file. ``sha256`` covers the file and its external data files."""

    path: Path
    sha256: str
    opset: int
    proto: onnx.ModelProto

    @property
    def name(self) -> str:
        """The network's name: the file's, without its ending."""
        return self.path.stem


def read_model(path: str | Path) -> ModelFile:
    """Read and parse an ONNX file; `UserError` where it cannot be read or is no ONNX model."""
    path = Path(path)
    content = _read_bytes(path)
    proto = _parse(path, content)
    opset = _opset(path, proto)
    digest = hashlib.sha256(content)
    for location in _load_external_data(path, proto):
        digest.update(location.read_bytes())
    return ModelFile(path, digest.hexdigest(), opset, proto)


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path} is a directory: give the ONNX file inside it.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the path of the ONNX file.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): check its permissions.") from error
    if not content:
        raise UserError(f"{path} is empty: export or copy the model again.")
    return content


def _parse(path: Path, content: bytes) -> onnx.ModelProto:
    advice = "check that the file is a complete ONNX model (a truncated copy gives this too)."
    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise UserError(f"{path} is not an ONNX file, or is corrupt ({error}): {advice}") from error
    if not _is_text(proto):
        raise UserError(f"{path} is corrupt (a name in it is no UTF-8 text): {advice}")
    if not proto.HasField("graph") or not proto.graph.node:
        raise UserError(f"{path} holds no ONNX graph with nodes: {advice}")
    return proto  # type: ignore[no-any-return]


def _is_text(message: Message) -> bool:
    """Whether every string of the message is text; protobuf hands out bytes where it is not."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else (value,)
        if field.type == FieldDescriptor.TYPE_STRING:
            if not all(isinstance(one, str) for one in values):
                return False
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not all(map(_is_text, values)):
            return False
    return True


def _opset(path: Path, proto: onnx.ModelProto) -> int:
    versions = [entry.version for entry in proto.opset_import if entry.domain in DEFAULT_DOMAINS]
    if not versions:
        raise UserError(f"{path} states no opset of the standard ONNX operators: export it again.")
    opset = max(versions)
    if opset < OLDEST_OPSET:
        raise UserError(
            f"{path} uses ONNX opset {opset}; opsets {OLDEST_OPSET} to {NEWEST_OPSET} are read: "
            "export it with a newer opset, or convert it with "
            "onnx.version_converter.convert_version(model, 17)."
        )
    if opset > NEWEST_OPSET:
        raise UserError(
            f"{path} uses ONNX opset {opset}; opsets {OLDEST_OPSET} to {NEWEST_OPSET} are read: "
            "export it with an older opset, or update the `onnx` package."
        )
    return int(opset)


def _load_external_data(path: Path, proto: onnx.ModelProto) -> list[Path]:
    """Load external initialisers in place; returns the files they came from, in name order."""
    locations: set[Path] = set()
    for tensor in proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        try:
            location = path.parent / ExternalDataInfo(tensor).location
            load_external_data_for_tensor(tensor, str(path.parent))
        except (
            OSError,
            ValueError,
            RuntimeError,
            TypeError,
            onnx.checker.ValidationError,
        ) as error:
            raise UserError(
                f"{path}: the external data of initialiser {tensor.name!r} cannot be read "
                f"({error}): keep the model's data file beside it, under its original name."
            ) from error
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
        locations.add(location)
    return sorted(locations)
