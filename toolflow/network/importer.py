"""`load_network`: an ONNX file to the layer graph, or everything that is in the way at once."""

from __future__ import annotations

from pathlib import Path

from toolflow.errors import UserError
from toolflow.network.analysis import Analysis, analyse
from toolflow.network.graph import Network
from toolflow.network.metadata import PreprocessingOverride
from toolflow.network.model_file import read_model


def load_network(
    path: str | Path, preprocessing_override: PreprocessingOverride | None = None
) -> Network:
    """Import the classifier in the ONNX file ``path`` (opset 9 to the newest).

    ``preprocessing_override`` takes precedence over the model's metadata. Raises one `UserError`
    that lists every problem and every refused node, with what to do about each.
    """
    analysis = analyse(read_model(path), preprocessing_override)
    if analysis.network is None:
        raise UserError(_explanation(Path(path), analysis))
    return analysis.network


def _explanation(path: Path, analysis: Analysis) -> str:
    lines = list(analysis.problems)
    for node, verdict in analysis.refused:
        advice = verdict.advice[:1].upper() + verdict.advice[1:]
        lines.append(f"node {node.name!r} ({node.op}): {verdict.reason}. {advice}.")
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return f"{path} cannot be imported: {count}.\n" + "\n".join(f"  - {line}" for line in lines)
