"""Speed and memory, measured in one run, as ratios where machines differ.

Writes ``build/bench.json``: a list of ``{name, value, unit, note}``; ``build/bench/cycles.csv``:
every step of the networks that were simulated, its cycles and the model's. hls4ml is measured in an
environment of its own, made the first time; where that cannot be, it is left out and said so.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime as ort
from measurement import Measurement
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench_rtl import rtl_speed  # noqa: E402

from toolflow.emulator.exact_float import Emulator  # noqa: E402
from toolflow.emulator.integer_network import quantise_images  # noqa: E402
from toolflow.network.float_reference import float_logits  # noqa: E402
from toolflow.network.importer import load_network  # noqa: E402
from toolflow.planning.candidates import CandidateRunner, shuffled  # noqa: E402
from toolflow.quantisation.scheme import Precision  # noqa: E402

MODEL = ROOT / "examples" / "vgg_cifar10.onnx"
OUTPUT = ROOT / "build" / "bench.json"
FOLDER = ROOT / "build" / "bench"
DATA = Path(os.environ.get("CASCADE_DATA") or ROOT.parent / "shared" / "data")
HLS4ML_LOCK = ROOT / "requirements" / "hls4ml.lock"
HLS4ML_IMAGES = 8
IMAGES = 512
ROUNDS = 5


def rate(images: int, run: Callable[[], object]) -> float:
    """Return the best rate of a few runs, in images/s, after one to warm up."""
    run()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return images / min(times)


def emulator_speed(threads: int) -> Iterator[Measurement]:
    """Measure the bit-exact emulator beside onnxruntime's float inference."""
    network = load_network(MODEL)
    rng = np.random.default_rng(0)
    images: NDArray[np.float32] = rng.normal(0, 1, (IMAGES, *network.input_shape)).astype("f4")
    logits = float_logits(network, images, threads)
    noise = shuffled("noise", images, logits.argmax(1), logits, 1)
    runner = CandidateRunner(network, noise, IMAGES, 1)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batches = [images[k : k + 32] for k in range(0, IMAGES, 32)]
    base = rate(IMAGES, lambda: [session.run(None, {name: batch}) for batch in batches])
    note = f"{MODEL.name}, {threads} threads, batches of 32, best of {ROUNDS}"
    yield Measurement("onnxruntime_float", base, "images/s", note)
    for bits in (8, 4):
        compiled = runner.single(Precision(bits, bits), images=1).network
        words = quantise_images(images, compiled.stored_input)
        emulator = Emulator(compiled, threads)
        speed = rate(IMAGES, lambda e=emulator, w=words: e.logits(w))  # type: ignore[misc]
        yield Measurement(f"emulator_{bits}bit", speed, "images/s", note)
        yield Measurement(
            f"emulator_{bits}bit_vs_onnxruntime", speed / base, "ratio", "aim: at least 0.5"
        )
    yield from hls4ml_speed(speed)


def hls4ml_speed(ours: float) -> Iterator[Measurement]:
    """Measure hls4ml's compiled emulation of the same network; ``ours``: the emulator's rate."""
    try:
        python = hls4ml_python()
        done = subprocess.run(
            [
                python, str(ROOT / "scripts" / "hls4ml_speed.py"), str(MODEL), str(HLS4ML_IMAGES),
                str(FOLDER / "hls4ml"),
            ],
            check=True, cwd=FOLDER, capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:]
        print(f"hls4ml is left out: {' '.join(last) or error}", flush=True)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    note = f"{MODEL.name}, fixed<16,6>, io_stream, {HLS4ML_IMAGES} images, one thread"
    yield Measurement("hls4ml_compile", found["compile_s"], "s", note)
    yield Measurement("hls4ml_emulation", found["images_per_s"], "images/s", note)
    yield Measurement("emulator_4bit_vs_hls4ml", ours / found["images_per_s"], "ratio", note)


def hls4ml_python() -> str:
    """Return the Python of hls4ml's environment, which is made if it is not there.

    Raises:
        subprocess.CalledProcessError: it could not be made.
    """
    made, ready = FOLDER / "hls4ml-env", FOLDER / "hls4ml-env" / "ready"
    python = str(made / "bin" / "python")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not ready.exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(made)],
            [
                python, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q",
                "--only-binary=:all:", "--require-hashes", "--no-deps", "-r", str(HLS4ML_LOCK),
            ],
        ):  # fmt: skip
            subprocess.run(command, check=True, capture_output=True, text=True)
        ready.touch()
    return python


def plan_cost() -> Iterator[Measurement]:
    """Measure the example plan in a process of its own: time and peak memory."""
    target = ROOT / "build" / "bench" / "plan"
    command = [
        sys.executable, "-m", "toolflow", "plan", str(ROOT / "examples" / "lenet_digits.onnx"),
        "--eval", "digits:calib", "-o", str(target),
    ]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=sys.stderr)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    note = "plan of examples/lenet_digits.onnx on zc706, process start included"
    yield Measurement("plan_lenet_digits", seconds, "s", note)
    yield Measurement("plan_lenet_digits_peak_memory", peak, "GB", note)
    record = json.loads((target / "plan.json").read_text())
    yield Measurement(
        "speedup_lenet_digits", record["speedup"], "ratio", "cascade over best single stage"
    )


def main() -> None:
    """Run everything and write the file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    measurements = [
        *plan_cost(),
        *emulator_speed(os.cpu_count() or 1),
        *rtl_speed(ROOT, DATA, FOLDER / "cycles.csv"),
    ]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps([asdict(m) for m in measurements], indent=1) + "\n")
    for m in measurements:
        print(f"{m.name:36} {m.value:12.4g} {m.unit:9} {m.note}")


if __name__ == "__main__":
    main()
