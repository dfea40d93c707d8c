"""cocotb tests of ``engine_sequencer``: random descriptors, parts that take their time."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cocotb

from toolflow.emission.descriptors import FIELDS, encode
from toolflow.hardware.engine import WORDS, Op
from verif.common.memory_port import Memory, MemoryPort, ReadClient, ReadSignals
from verif.common.scoreboard import Scoreboard
from verif.common.streams import Stall, StreamMonitor, Testbench, stall_patterns

PRODUCTS = (Op.CONV, Op.DENSE)
OWN = {
    "table": (),
    "read": (),
    "weight": ("weight_rows_o",),
    "record": ("record_rows_o",),
    "write": ("write_column_tiles_o", "write_last_columns_o"),
}
PARTS = tuple(OWN)
NO_ERROR, OP, TILES, SIZES, BUFFER, BUS, STOPPED = range(7)
MASK = (1 << 32) - 1
DESCRIPTOR_BYTES = 4 * WORDS
MOST_TILES = 4
"""Column tiles of a tile-major step."""

Layer = Mapping[str, int]


@dataclass(frozen=True)
class Job:
    """What a part sees of a job: the step's number and the addresses in the order of the port.

    ``own``: what only this part looks at (``OWN``).
    """

    layer: int
    addresses: tuple[int, ...]
    own: tuple[int, ...] = ()


class IdleAgent:
    """The parts' work: each job keeps them busy for a while after its last part was taken."""

    def __init__(self, signal: Any, rng: random.Random) -> None:
        self._signal = signal
        self._rng = rng
        self.longest = 12
        self.busy_until = 0
        self.cycle = 0

    @property
    def idle(self) -> bool:
        return self.cycle >= self.busy_until

    def work(self) -> None:
        """A job was taken."""
        self.busy_until = max(self.busy_until, self.cycle + 1 + self._rng.randint(0, self.longest))

    def reset(self) -> None:
        self.busy_until = 0
        self._signal.value = 1

    def drive(self) -> None:
        self._signal.value = int(self.idle)

    def sample(self, cycle: int) -> None:
        self.cycle = cycle + 1


class PulseAgent:
    """Raises an input for one cycle at a chosen moment."""

    def __init__(self, signal: Any) -> None:
        self._signal = signal
        self.at: int | None = None
        self.cycle = 0

    def reset(self) -> None:
        self._signal.value = 0

    def drive(self) -> None:
        self._signal.value = int(self.at == self.cycle)

    def sample(self, cycle: int) -> None:
        self.cycle = cycle + 1


class ReportAgent:
    """Notes the ends of steps and of the run."""

    def __init__(self, dut: Any, idle: IdleAgent) -> None:
        self._dut = dut
        self._idle = idle
        self.layers: list[tuple[int, int]] = []
        self.ends: list[int] = []
        self.done_cycle: int | None = None

    def reset(self) -> None:
        self.layers.clear()
        self.ends.clear()
        self.done_cycle = None

    def drive(self) -> None:
        """Drive nothing."""

    def sample(self, cycle: int) -> None:
        dut = self._dut
        if dut.layer_done_o.value:
            assert self._idle.idle, "a step ends while a part works"
            self.layers.append((int(dut.layer_index_o.value), int(dut.layer_cycles_o.value)))
            self.ends.append(cycle)
        if dut.done_o.value:
            assert self.done_cycle is None
            assert dut.busy_o.value
            self.done_cycle = cycle


class Bench:
    """The sequencer, a memory of descriptors and the engine's parts."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.rng = random.Random(int(cocotb.RANDOM_SEED))
        self.tiles = int(dut.TP.value), int(dut.TC.value)
        self.stored_bits = int(dut.StoredBits.value)
        self.beat_bytes = int(dut.DataBits.value) // 8
        self.max_images = int(dut.MaxImages.value)
        self.memory = Memory(1 << 16)
        self.port = MemoryPort(self.memory, self.beat_bytes)
        self.client = ReadClient(ReadSignals.of(dut, ""), self.port)
        self.idle = IdleAgent(dut.parts_idle_i, self.rng)
        self.report = ReportAgent(dut, self.idle)
        self.stop = PulseAgent(dut.stop_i)
        self.bus_error = PulseAgent(dut.bus_error_i)
        self.boards: dict[str, Scoreboard[Job]] = {part: Scoreboard(part) for part in PARTS}
        self.parts = {part: self._part(part) for part in PARTS}
        self.testbench = Testbench(
            dut,
            [self.port, self.client, *self.parts.values(), self.idle, self.report, self.stop,
             self.bus_error],
        )  # fmt: skip
        self.list: list[int] = []
        self.taken = 0
        self.last_layer: int | None = None

    def _part(self, name: str) -> StreamMonitor:
        dut = self.dut
        payload = {"layer": dut.layer_index_o, "addresses": dut.addresses_o}
        payload |= {port: getattr(dut, port) for port in OWN[name]}

        def observe(beat: dict[str, int]) -> None:
            addresses = tuple(beat["addresses"] >> (32 * k) & MASK for k in range(5, -1, -1))
            own = tuple(beat[port] for port in OWN[name])
            self.boards[name].observe(Job(beat["layer"], addresses, own))
            self.last_layer = beat["layer"]
            self.taken += 1
            self.idle.work()

        return StreamMonitor(
            getattr(dut, f"{name}_valid_o"), getattr(dut, f"{name}_ready_i"), payload, observe
        )

    async def start(self) -> None:
        """Start the clock; fill the list of images."""
        dut = self.dut
        for name in ("start_i", "list_write_i", "use_list_i"):
            getattr(dut, name).value = 0
        dut.layer_fits_i.value = 1
        await self.testbench.start()
        for index in range(self.max_images):
            self.list.append(self.rng.getrandbits(32))
            dut.list_write_i.value = 1
            dut.list_index_i.value = index
            dut.list_addr_i.value = self.list[-1]
            await self.testbench.step()
        dut.list_write_i.value = 0

    def begun_tile_major(self, layers: Sequence[Layer]) -> bool:
        """Return whether the job that was to come is a later one of a tile-major step."""
        waiting = self.boards["write"].outstanding
        same = bool(waiting) and waiting[0].layer == self.last_layer
        return same and bool(layers[waiting[0].layer]["tile_major"])

    def stall(self, choose: str | None = None) -> None:
        """Choose stall patterns."""

        def pattern() -> Stall:
            patterns = stall_patterns(self.rng)
            return patterns[choose or self.rng.choice(sorted(patterns))]

        for part in self.parts.values():
            part.stall = pattern()
        self.client.command_stall, self.client.data_stall = pattern(), pattern()
        self.port.stall = pattern()
        self.port.latency = 0 if choose else self.rng.choice([0, 3, 30])

    def layer(self, **values: int) -> dict[str, int]:
        """Return a random legal descriptor with the given fields."""
        rng = self.rng
        fields = {
            f.name: rng.randrange(1, 1 << f.width - f.signed) if f.width > 1 else rng.randrange(2)
            for f in FIELDS
        }
        high_bits = rng.randint(1, self.stored_bits)
        low = rng.randint(-(1 << 15), (1 << 15) - 1)
        fields |= {
            "op": rng.choice(list(Op)),
            "tile_depth": self.tiles[0],
            "tile_columns": self.tiles[1],
            "last_chunk": rng.randint(1, self.tiles[0]),
            "last_columns": rng.randint(1, self.tiles[1]),
            "weight_high_bits": high_bits,
            "weight_low_bits": self.stored_bits - high_bits,
            "shift": rng.randrange(32),
            "slope_shift": rng.randrange(32),
            "low": low,
            "high": rng.randint(low, (1 << 16) - 1),
            **{f"{name}_container": rng.randint(1, 4) for name in ("in", "second", "out")},
        }
        fields |= values
        if fields["op"] != Op.CONV:
            fields |= {"tile_major": 0, "pool_size": rng.randrange(2)}
        if fields["op"] != Op.CONV or fields["in_images"]:
            fields["images_log"] = 0
        if fields["pool_size"] <= 2:
            fields["pool_overlaps"] = 0
        if fields["tile_major"]:
            fields |= {"groups": 1, "column_tiles": rng.randint(1, MOST_TILES)}
        return fields | values

    def expect(self, layers: Sequence[Layer], bases: Mapping[str, int], images: int,
               use_list: bool) -> None:  # fmt: skip
        """Expect the jobs of legal layers."""
        for index, d in enumerate(layers):
            product = d["op"] in PRODUCTS
            if d["op"] == Op.LRN:
                # Before the images: the list has not been looked at.
                self.boards["table"].expect([self._job(index, d, bases, 0, False)])
            major, dense = d["tile_major"], d["op"] == Op.DENSE
            jobs = 1 if dense else -(-images >> d["images_log"])
            together = jobs if major else images if dense else 1
            own = {
                "read": (),
                "weight": (together * (1 if dense else d["padded_rows"]) & MASK,),
                "record": (together * (1 if dense else d["rows"]) & MASK,),
            }
            for tile in range(d["column_tiles"] if major else 1):
                last = not major or tile == d["column_tiles"] - 1
                own["write"] = (
                    1 if major else d["column_tiles"],
                    d["last_columns"] if last else self.tiles[1],
                )
                for number in range(jobs):
                    job = self._job(index, d, bases, number, use_list, tile)
                    first = not major or (tile, number) == (0, 0)
                    products = ("weight", "record") if product and first else ()
                    for part in ("read", "write", *products):
                        self.boards[part].expect([replace(job, own=own[part])])

    def _job(self, index: int, d: Layer, bases: Mapping[str, int], image: int,
             use_list: bool, tile: int = 0) -> Job:  # fmt: skip
        """Return a job of a step, for a column tile of a tile-major one.

        ``image``: whose, or which of the joined images.
        """
        first = bases["images" if d["in_images"] else "workspace"] + d["in_base"]
        first += image * d["in_stride"]
        if use_list and d["in_images"]:
            first = self.list[image]
        addresses = (
            first,
            bases["workspace"] + d["second_base"] + image * d["second_stride"],
            bases["workspace"]
            + d["out_base"]
            + image * d["out_stride"]
            + tile * (self.tiles[1] << d["out_container"] >> 3),
            bases["weights"] + d["weight_offset"],
            bases["weights"] + d["weight_low_offset"],
            bases["records"] + d["records_offset"],
        )
        return Job(index, tuple(address & MASK for address in addresses))

    async def begin(self, layers: Sequence[Layer], images: int, use_list: bool,
                    legal: int | None = None) -> None:  # fmt: skip
        """Put descriptors into memory, expect the jobs of the first ``legal``, start the run."""
        rng, dut = self.rng, self.dut
        at = self.beat_bytes * rng.randrange(1 + (1 << 10) // self.beat_bytes)
        data = b"".join(encode(layer) for layer in layers)
        self.memory.data[at : at + len(data)] = data
        self.memory.allow(range(at, at + len(data)))
        names = ("weights", "records", "images", "workspace")
        bases = {name: rng.getrandbits(32) for name in names}
        self.expect(layers[:legal], bases, images, use_list)
        self.report.reset()
        self.last_layer = None
        word = 0
        for base in (at, *bases.values()):
            word = word << 32 | base
        dut.bases_i.value = word
        dut.images_i.value = images
        dut.layers_i.value = len(layers)
        dut.use_list_i.value = int(use_list)
        dut.start_i.value = 1
        await self.testbench.step()
        dut.start_i.value = 0

    async def finish(self, limit: int) -> int:
        """Run to the end; return the error."""
        await self.testbench.run_until(lambda: self.report.done_cycle is not None, limit)
        await self.testbench.step()
        assert not self.dut.busy_o.value
        assert not self.client.answers, "descriptors are under way"
        return int(self.dut.error_o.value)


def limit(layers: int, images: int) -> int:
    """Return cycles that any run ends within."""
    return 400 + layers * (40 * DESCRIPTOR_BYTES // 8 + 300 * MOST_TILES * (images + 1))


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def runs(dut: Any) -> None:
    """Random networks one after the other: every job, its addresses, its order."""
    bench = Bench(dut)
    await bench.start()
    planted = int(os.environ.get("PLANTED_ERROR", "0"))
    for _ in range(12):
        bench.stall()
        layers = [bench.layer() for _ in range(bench.rng.randint(1, 6))]
        images = bench.rng.randint(1, bench.max_images)
        await bench.begin(layers, images, bool(bench.rng.randrange(2)))
        if planted:
            bench.boards["write"].expect([Job(0, ())])
        assert await bench.finish(limit(len(layers), images)) == NO_ERROR
        assert [layer for layer, _ in bench.report.layers] == list(range(len(layers)))
        for board in bench.boards.values():
            assert board.done
    for board in bench.boards.values():
        board.finish()
    assert bench.taken >= 3 * 12


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def illegal_descriptors(dut: Any) -> None:
    """Each is refused with its reason, after the steps before it; the next run is sound."""
    bench = Bench(dut)
    await bench.start()
    conv = {"op": int(Op.CONV)}
    tp, tc = bench.tiles
    cases: list[tuple[dict[str, int], int]] = [
        ({"op": 0}, OP),
        ({"op": 8}, OP),
        ({"op": 255}, OP),
        ({"tile_depth": tp + 1}, TILES),
        ({"tile_columns": tc - 1}, TILES),
        *(({name: 0}, SIZES) for name in (
            "in_channels", "in_height", "in_width", "out_channels", "out_height", "out_width",
            "kernel_height", "kernel_width", "stride_height", "stride_width", "rows",
            "in_container", "out_container",
        )),
        *((conv | {name: 0}, SIZES) for name in (
            "groups", "group_channels", "columns", "column_tiles", "chunks", "depth",
            "last_columns", "last_chunk",
        )),
        ({"op": int(Op.ADD), "second_container": 5}, SIZES),
        ({"in_container": 5}, SIZES),
        ({"shift": 32}, SIZES),
        ({"slope_shift": 32}, SIZES),
        ({"low": 5, "high": 4}, SIZES),
        (conv | {"last_columns": tc + 1}, SIZES),
        (conv | {"last_chunk": tp + 1}, SIZES),
        (conv | {"weight_high_bits": 1, "weight_low_bits": bench.stored_bits}, SIZES),
        (conv | {"weight_high_bits": 0, "weight_low_bits": bench.stored_bits}, SIZES),
        (conv | {"tile_major": 1, "groups": 2}, SIZES),
        (conv | {"images_log": 1, "in_images": 1}, SIZES),
        ({"op": int(Op.DENSE), "images_log": 2}, SIZES),
        ({"op": int(Op.ADD), "images_log": 1}, SIZES),
        ({"op": int(Op.DENSE), "tile_major": 1, "groups": 1}, SIZES),
        ({"op": int(Op.MAX_POOL), "tile_major": 1, "groups": 1}, SIZES),
        (conv | {"pool_size": 2, "pool_line": 0}, SIZES),
        (conv | {"pool_size": 2, "pool_rows": 0}, SIZES),
        (conv | {"pool_size": 2, "pool_width": 0}, SIZES),
        (conv | {"pool_size": 2, "pool_height": 0}, SIZES),
        (conv | {"pool_size": 2, "pool_overlaps": 1}, SIZES),
        ({"op": int(Op.DENSE), "pool_size": 2}, SIZES),
        ({"op": int(Op.AVG_POOL), "pool_size": 3}, SIZES),
        ({}, BUFFER),
    ]  # fmt: skip
    for wrong, reason in cases:
        bench.stall("full_rate" if bench.rng.randrange(2) else "light")
        before = bench.rng.randrange(3) if reason != BUFFER else 0
        layers = [bench.layer() for _ in range(before + 3)]
        layers[before] |= wrong
        dut.layer_fits_i.value = int(reason != BUFFER)
        await bench.begin(layers, min(2, bench.max_images), False, legal=before)
        assert await bench.finish(limit(len(layers), 2)) == reason, wrong
        assert int(dut.error_layer_o.value) == before
        dut.layer_fits_i.value = 1
        assert all(board.done for board in bench.boards.values())
        await bench.begin([bench.layer()], 1, False)
        assert await bench.finish(limit(1, 1)) == NO_ERROR
    for board in bench.boards.values():
        board.finish()


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def ended_early(dut: Any) -> None:
    """A stop or a bus error at any moment: an image's jobs are given to all parts or to none.

    A tile-major step that began is given as a whole.
    """
    bench = Bench(dut)
    await bench.start()
    early = 0
    for round_ in range(60):
        bench.stall()
        layers = [bench.layer() for _ in range(4)]
        await bench.begin(layers, min(3, bench.max_images), False)
        pulse, reason = ((bench.stop, STOPPED), (bench.bus_error, BUS))[round_ % 2]
        pulse.at = bench.testbench.cycle + bench.rng.randint(0, 300)
        error = await bench.finish(limit(4, 3))
        given = {part: board.compared for part, board in bench.boards.items()}
        assert given["read"] == given["write"] >= given["weight"] == given["record"]
        complete = all(board.done for board in bench.boards.values())
        assert bench.boards["write"].done or not bench.begun_tile_major(layers)
        if error == NO_ERROR:
            assert complete
        else:
            assert error == reason
            early += not complete
        for board in bench.boards.values():
            board.drop()
        pulse.at = None
    assert early > 5


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def cycle_counts(dut: Any) -> None:
    """Exact cycles: two from an image's jobs to the next one's, six from a step to the next."""
    bench = Bench(dut)
    await bench.start()
    bench.stall("full_rate")
    bench.idle.longest = 0
    # So many images that the next descriptor is there before a step ends.
    images = min(bench.max_images, 20)
    layers = [bench.layer(op=int(Op.CONV), tile_major=0, images_log=0) for _ in range(3)]
    await bench.begin(layers, images, False)
    assert await bench.finish(limit(3, images)) == NO_ERROR
    taken = bench.parts["read"].beat_cycles
    for layer in range(3):
        mine = taken[layer * images : (layer + 1) * images]
        assert [b - a for a, b in itertools.pairwise(mine)] == [2] * (images - 1)
        if layer and images == 20:
            assert mine[0] - bench.report.ends[layer - 1] == 6
    assert all(board.compared for part, board in bench.boards.items() if part != "table")
