"""Print how fast single stages and cascades are on a network, whatever its accuracy.

    .venv/bin/python scripts/compare_rates.py NET.onnx --device zc706

Rates are the search's (``toolflow.exploration.search``): the best single stage of each wordlength,
and the best cascade of each LPU with an HPU, by the share of images that it forwards. The network's
weights are not looked at.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from toolflow.errors import UserError
from toolflow.exploration.search import Explorer
from toolflow.hardware.devices import load_device
from toolflow.network.importer import load_network
from toolflow.quantisation.scheme import Precision

SINGLES = (8, 6, 5, 4, 3, 2)
LPUS = (Precision(4, 4), Precision(3, 3), Precision(2, 3), Precision(2, 2))
HPU = Precision(8, 8)
FORWARDED = (0.05, 0.1, 0.2, 0.3)


def compare(model: Path, device_name: str) -> None:
    """Print a network's rates on a device.

    Raises:
        UserError: the model or the device cannot be used.
    """
    network, device = load_network(model), load_device(device_name)
    explorer = Explorer(device, network)
    print(f"{model.stem} on {device.name}, {network.macs / 1e6:,.1f} M MACs an image")
    print("\nsingle stage   images/s     GOp/s  T_R x T_P x T_C")
    rates = {}
    for bits in SINGLES:
        design = explorer.single(bits, bits)
        rates[bits], tiles = design.images_per_s, design.engine.config
        gops = 2 * network.macs * design.images_per_s / 1e9
        print(
            f"{bits}/{bits} bit{design.images_per_s:>18.1f}{gops:>10,.0f}  "
            f"{tiles.t_r} x {tiles.t_p} x {tiles.t_c}",
            flush=True,
        )
    against = "".join(f"{f'to {bits}/{bits}':>9}" for bits in SINGLES)
    print(f"\nLPU, HPU {HPU}  forwarded  images/s{against}")
    for lpu in LPUS:
        # The LPU reads its own digits of every weight and no more.
        windows = (HPU.weight_bits - lpu.weight_bits,) * len(network.weight_layers)
        for share in FORWARDED:
            rate = explorer.cascade_rate(
                (lpu.weight_bits, lpu.act_bits), (HPU.weight_bits, HPU.act_bits), share, windows
            )
            ratios = "".join(f"{rate / rates[bits]:>8.2f}x" for bits in SINGLES)
            print(f"{lpu!s:13}{share:>10.0%}{rate:>11.1f}{ratios}", flush=True)


def main() -> int:
    """Compare rates on the network and the device that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--device", default="zc706")
    arguments = parser.parse_args()
    try:
        compare(arguments.model, arguments.device)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
