"""The benches are only as good as what they are built on: that is tested here."""

from __future__ import annotations

import numpy as np
import pytest

from toolflow.simulation.rtl_sources import RTL, closure
from verif.common.memory_port import Memory
from verif.common.packing import pack, unpack, wrap
from verif.common.scoreboard import Scoreboard
from verif.common.simulation import SimulationError, simulate
from verif.common.tiling import Tiling, row_cycles, streams, tile_rows

RUNNER = "verif.common.bench_runner"
TOP = RTL / "common" / "skid_buffer.sv"


@pytest.mark.parametrize(
    ("module", "testcase", "message"),
    [
        (RUNNER, "fails", "on purpose"),
        (RUNNER, "absent", "absent"),
        (f"{RUNNER}_skipped", None, "0 tests passed"),
    ],
)
def test_runner_reports_failures(module: str, testcase: str | None, message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        simulate(TOP, {"Width": 13}, module, seed=1, testcase=testcase)


def test_runner_ends_a_hanging_simulation() -> None:
    with pytest.raises(SimulationError, match="return code: 124"):
        simulate(TOP, {"Width": 13}, RUNNER, seed=1, testcase="hangs", timeout_s=2)


def test_scoreboard_fails_on_nothing_leftovers_surplus_and_difference() -> None:
    board: Scoreboard[int] = Scoreboard("board")
    with pytest.raises(AssertionError, match="nothing was compared"):
        board.finish()
    board.expect([1, 2])
    board.observe(1)
    with pytest.raises(AssertionError, match="1 items missing"):
        board.finish()
    with pytest.raises(AssertionError, match="is 3, expected 2"):
        board.observe(3)
    with pytest.raises(AssertionError, match="unexpected"):
        board.observe(4)


@pytest.mark.parametrize("bits", [1, 2, 3, 8, 16, 33, 48])
@pytest.mark.parametrize("signed", [False, True])
def test_packing_round_trip(bits: int, signed: bool) -> None:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    words = np.random.default_rng(bits).integers(low, high, (9, 5), endpoint=True)
    beats = pack(words, bits)
    assert (unpack(beats, bits, 5, signed=signed) == words).all()
    mask = (1 << bits) - 1
    assert beats[0] == sum((int(word) & mask) << (bits * i) for i, word in enumerate(words[0]))
    with pytest.raises(ValueError, match="outside"):
        pack([[1 << bits]], bits)


def test_memory_holds_clients_to_their_buffers() -> None:
    memory = Memory(64)
    memory.allow(range(16, 32))
    memory.allow(range(32, 48), write=True)
    memory.write(32, 0x04030201, 0b1010)
    assert bytes(memory.data[32:36]) == bytes([0, 2, 0, 4])
    assert memory.read(32, 4) == 0x04000200
    assert (memory.reads, memory.writes) == (4, 2)
    for address in (12, 28, 44):
        with pytest.raises(AssertionError, match="outside every buffer"):
            memory.read(address, 8)
    for address, strobes in ((24, 1), (44, 0b10000)):
        with pytest.raises(AssertionError, match="no buffer"):
            memory.write(address, 0, strobes)


def test_wrap() -> None:
    assert wrap([127, 128, -128, -129, 256], 8).tolist() == [127, -128, -128, 127, 0]


def test_streams_hold_the_whole_product() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 9, (5, 7)), rng.integers(-9, 9, (7, 4))
    cut = streams(a, b, Tiling(2, 3, 3))
    # 2 column tiles x 3 row tiles (2, 2, 1 rows) x 3 chunks of P.
    assert tile_rows(5, 7, 4, Tiling(2, 3, 3)) == [2, 2, 2, 2, 2, 2, 1, 1, 1] * 2
    assert cut.weights.shape == (18 * 3, 3)
    assert cut.acts.shape == (30, 3)
    assert cut.tile_last.sum() == 18
    assert cut.first.sum() == cut.last.sum() == len(cut.outputs) == 10
    assert (np.hstack([cut.outputs[:5], cut.outputs[5:]])[:, :4] == a @ b).all()
    assert not np.hstack([cut.outputs[:5], cut.outputs[5:]])[:, 4:].any()


def test_row_cycles() -> None:
    assert row_cycles([3, 2, 1], 2) == [2, 3, 4, 5, 6, 7]
    assert row_cycles([1, 1, 3], 4) == [4, 8, 12, 13, 14]


def test_closure_finds_what_a_module_needs() -> None:
    names = [path.stem for path in closure([RTL / "mm" / "mm_unit.sv"])]
    assert set(names) == {
        *("cascade_pkg", "delay_line", "ram_1r1w", "skid_buffer"),
        *("macc", "pe", "weight_pack", "mm_unit"),
    }
    assert names.index("macc") < names.index("pe") < names.index("mm_unit")
    assert names[-1] == "mm_unit"
