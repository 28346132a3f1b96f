"""How much memory segmenting takes, from headers, plans and networks: before anything is read. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.inference.logits_type import logits_bytes
from autoseg.inference.thrift import Thrift
from autoseg.io.stored_size import CaseSize
from autoseg.networks import context_voxels, cost
from autoseg.networks._cost import Cost
from autoseg.preprocessing.memory import Grids, prepared_bytes, preparing_bytes
from autoseg.specs.case import CaseRecord
from autoseg.specs.plan import Configuration

SPAN_FACTOR = {2: 3.0, 3: 2.7}
"""Held at once in a pass, in elements of the widest convolution's input and output, by dimensions: measured 2.5 to 2.9
in 3D and 2.8 in 2D, where the coarser levels weigh more."""
FIRST_PASS_BYTES = 25_000_000
"""Code and reordered weights that the first pass leaves."""
FLOAT_BYTES = 4
WRITING_COPIES = 3
"""Of a mask while it is written: bytes in order, header before them, compressed."""
PIECES_BYTES = 10
"""Per voxel while pieces of a mask are looked at: numbers of 4 bytes, masks, and what is looked up by the numbers."""
BLOCK_ELEMENTS = 16 * 48 * 48 * 3
"""Per head and thread of the export: a block, and what it is interpolated from."""
SLAB_SLICES = 4 * 3
"""The same where splines overshoot: slices as they are, and interpolated along one axis and two."""


@dataclass(frozen=True)
class Machine:
    """What the networks run on.

    Attributes:
        on_cpu: Whether their activations are in main memory.
        bytes_each: Width of the numbers that they compute in.
        passes: Side by side on a CPU where nothing limits them.
        threads: Of the CPU.
        planar_windows: 2D windows in one pass on a CPU.
    """

    on_cpu: bool
    bytes_each: int
    passes: int
    threads: int
    planar_windows: int


@dataclass(frozen=True)
class Demand:
    """Most memory that each step of a case holds.

    Attributes:
        case_id: The case.
        reading: While it is read and prepared.
        computing: While the networks run, image and logits included.
        finishing: While labels are decided and written, logits included.
    """

    case_id: str
    reading: int
    computing: int
    finishing: int

    @property
    def most(self) -> int:
        """One step after the other."""
        return max(self.reading, self.computing, self.finishing)


class Pass:
    """A configuration's network over a volume.

    Args:
        configuration: Network and patch.
        channels: Of the image.
        heads: Of the network.
        extra_channels: Of the previous stage.
        machine: Where it runs.
    """

    def __init__(
        self, configuration: Configuration, *, channels: int, heads: int, extra_channels: int, machine: Machine
    ) -> None:
        self.configuration, self.machine = configuration, machine
        self.channels, self.heads, self.extra_channels = channels, heads, extra_channels
        self.planar = configuration.dimensions == 2
        depth, height, width = (1, *configuration.window)[-3:]
        self.patch = (depth, height, width)
        network = configuration.network
        self.price: Cost = cost(
            network.name,
            network.options,
            topology=configuration.topology,
            patch_size_voxels=configuration.window,
            channels=channels + extra_channels,
            heads=heads,
        )
        self.context = context_voxels(network.name, network.options)

    def activations(self, thrift: Thrift) -> int:
        """Of all passes at a time, with their results; 0 where they are on another device."""
        machine, voxels = self.machine, math.prod(self.patch)
        if not machine.on_cpu:
            return 0
        at_once = min(machine.passes, thrift.passes or machine.passes)
        windows = machine.planar_windows if self.planar else 1
        elements = SPAN_FACTOR[self.configuration.dimensions] * self.price.span * windows
        one = machine.bytes_each * int(elements)
        if machine.bytes_each == FLOAT_BYTES:
            one += FLOAT_BYTES * self.price.unfolded * windows
        results = self.heads * voxels * windows * (machine.bytes_each * (at_once + 1) + FLOAT_BYTES)
        inputs = FLOAT_BYTES * (self.channels + self.extra_channels) * voxels * windows * (at_once + 1)
        return at_once * one + results + inputs + FIRST_PASS_BYTES

    def padded(self, grids: Grids) -> tuple[int, int, int]:
        """Shape that the windows lie in."""
        if self.context is not None:
            return grids.planned
        z, y, x = (max(size, edge) for size, edge in zip(grids.planned, self.patch, strict=True))
        return (z, y, x)

    def is_single(self, grids: Grids) -> bool:
        """Whether one window is all."""
        return self.context is None and all(
            size <= edge for size, edge in zip(self.padded(grids), self.patch, strict=True)
        )

    def sums(self, grids: Grids) -> int:
        """Of the row of windows in work."""
        depth, height, width = self.padded(grids)
        lone = (height, width) == self.patch[1:] and (self.planar or depth == self.patch[0])
        if lone and self.context is None:
            return FLOAT_BYTES * self.heads * math.prod(self.patch)
        # Sums, weights, and while they move on, those of one head.
        return FLOAT_BYTES * (self.heads + 2) * min(self.patch[0], depth) * height * width

    def image(self, grids: Grids) -> int:
        """Copies of the image that the windows are cut from, beside the prepared one."""
        whole, inside = math.prod(self.padded(grids)), grids.voxels
        more = self.extra_channels
        padded = FLOAT_BYTES * (self.channels + more) * whole if whole > inside else 0
        # One channel per label of the previous stage: as truth values, as floats, and joined to the image.
        joined = (5 * more + FLOAT_BYTES * (self.channels + more) + 2) * inside if more else 0
        return padded + joined

    def slab_share(self, grids: Grids) -> float:
        """Of the logits: slices that one row of windows finishes, at most a window's."""
        return min(1.0, self.patch[0] / self.padded(grids)[0])

    def logits(self, grids: Grids, *, half: bool) -> int:
        """On the plan's grid."""
        return logits_bytes(self.heads * math.prod(self.padded(grids)), half=half)


@dataclass(frozen=True)
class Work:
    """What is done with every case.

    Attributes:
        passes: Networks in their order; a region's first stage before it.
        final: How many of the last ones are averaged.
        channels: Of the image.
        label_bytes: Per voxel of a mask.
        keeps_probabilities: Whether they are written too.
        cleans: Whether masks are post-processed.
        in_region: Whether the last network works around an organ that the others find.
    """

    passes: tuple[Pass, ...]
    final: int
    channels: int
    label_bytes: int
    keeps_probabilities: bool = False
    cleans: bool = False
    in_region: bool = False

    def demand(self, case_id: str, size: CaseSize, thrift: Thrift) -> Demand:
        """Of a case that is read from its files."""
        grids = self._grids(size)
        sections = {one.configuration.preprocessing.digest(): one for one in self._prepared()}
        prepared, reading = 0, size.peak_bytes
        for digest, one in sections.items():
            section = one.configuration.preprocessing
            reading = max(
                reading,
                size.image_bytes + prepared + preparing_bytes(grids[digest], section, channels=size.channels),
            )
            prepared += prepared_bytes(grids[digest], channels=size.channels)
        held = prepared
        if self.in_region:
            last = self.passes[-1].configuration.preprocessing
            around = preparing_bytes(grids[last.digest()], last, channels=size.channels)
            held += size.image_bytes + around + PIECES_BYTES * grids[last.digest()].whole
        each = [(one, grids[one.configuration.preprocessing.digest()]) for one in self.passes]
        return Demand(case_id, reading, held + self.running(each, thrift), self.finishing(each, thrift))

    def stored_demand(self, record: CaseRecord, thrift: Thrift) -> Demand:
        """Of a case that was prepared before."""
        grids = Grids(math.prod(record.original.shape), record.cropped_shape_voxels, record.shape_voxels, apart=None)
        each = [(one, grids) for one in self.passes]
        image = prepared_bytes(grids, channels=self.channels)
        reading = image + image // 2 + 4 * grids.voxels
        return Demand(record.case_id, reading, image + self.running(each, thrift), self.finishing(each, thrift))

    def running(self, each: Sequence[tuple[Pass, Grids]], thrift: Thrift) -> int:
        """Beside the prepared images: networks in turn, logits of all."""
        held, most = 0, 0
        for one, grids in each:
            logits = one.logits(grids, half=self.final > 1)
            on_disk = thrift.disk is not None and not one.is_single(grids)
            # What is written to disk leaves memory slab by slab, when all windows over it are done.
            kept, written = (0, int(logits * one.slab_share(grids))) if on_disk else (logits, logits)
            earlier = 3 * self.label_bytes * grids.whole if one.extra_channels else 0
            most = max(most, held + written + one.image(grids) + one.sums(grids) + one.activations(thrift) + earlier)
            held += kept
        return most

    def finishing(self, each: Sequence[tuple[Pass, Grids]], thrift: Thrift) -> int:
        """Logits, labels, and what is made of them."""
        members = each[-self.final :]
        held, packed, blocks = 0, 0, 0
        for one, grids in members:
            if thrift.disk is None or one.is_single(grids):
                held += one.logits(grids, half=self.final > 1)
            packed = max(packed, 3 * one.heads * grids.voxels)
            elements = BLOCK_ELEMENTS
            if one.configuration.preprocessing.resampling.logits_order > 1:
                elements = SLAB_SLICES * max(math.prod(grids.cropped[1:]), math.prod(grids.planned[1:]))
            blocks += FLOAT_BYTES * one.heads * elements * one.machine.threads
        whole = members[0][1].whole
        labels = self.label_bytes * whole
        writing = WRITING_COPIES * labels
        looking = PIECES_BYTES * whole if self.cleans or self.in_region else 0
        organ = whole if self.in_region else 0
        after = [blocks, writing + looking, packed if self.keeps_probabilities else 0]
        return held + labels + organ + max(after)

    def _prepared(self) -> tuple[Pass, ...]:
        return self.passes[:-1] if self.in_region else self.passes

    def _grids(self, size: CaseSize) -> dict[str, Grids]:
        sections = {one.configuration.preprocessing.digest(): one.configuration.preprocessing for one in self.passes}
        return {digest: Grids.of(size.geometry, section) for digest, section in sections.items()}


def peak(demands: Sequence[Demand], thrift: Thrift) -> int:
    """Most that is held while cases follow each other, some read and some written beside the one in work."""
    if thrift.ahead == 0:
        return max(each.most for each in demands)
    most = 0
    for place, each in enumerate(demands):
        before = sum(one.finishing for one in demands[max(0, place - thrift.ahead) : place])
        after = sum(one.reading for one in demands[place + 1 : place + 1 + thrift.ahead])
        most = max(most, each.most, before + each.computing + after)
    return most
