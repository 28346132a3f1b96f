"""Several processes train one network: each takes its share of every batch, and all make the same update.

Each process runs the network over its own samples. The logits are then gathered, and every process judges the whole
batch: the loss is that of one process whatever it is made of (Dice pooled over the batch, means over annotated voxels,
weights within the batch), where an average of the processes' own losses would not be. A process's gradient flows back
through its own samples only; the sum over the processes is the gradient of the whole batch. From there on all do the
same arithmetic on the same numbers: clipping, optimiser and weight average need no further talk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous
from torch.nn.modules.batchnorm import _BatchNorm

from autoseg.core.errors import AutosegError, SpecError

Value = TypeVar("Value")
Outputs = Tensor | Sequence[Tensor]
PATIENCE = timedelta(hours=1)
"""How long a process waits for the others before it gives up; the first one may be storing labels of a cascade."""


@dataclass(frozen=True)
class Share:
    """What one of several equal processes has to do; alone it is everything, and nothing is sent.

    Attributes:
        rank: Number of this process.
        world: Number of processes.
    """

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def rows(self, size: int, rank: int | None = None) -> range:
        """Positions of a process's samples in a batch; the processes' together are the batch in order."""
        rank = self.rank if rank is None else rank
        return range(size * rank // self.world, size * (rank + 1) // self.world)

    def own(self, items: Sequence[Value]) -> tuple[Value, ...]:
        """This process's share of any items."""
        return tuple(items[index] for index in self.rows(len(items)))

    def check(self, *, batch_size: int, accumulate: int) -> None:
        """Refuse batches that cannot be shared.

        Raises:
            SpecError: A process would have no sample, or the batch is to be divided a second time.
        """
        if batch_size < self.world:
            raise SpecError(
                f"{self.world} processes cannot share batches of {batch_size}",
                f"start at most {batch_size}, or plan larger batches",
            )
        if self.world > 1 and accumulate > 1:
            raise SpecError(
                f"batches go through the network in {accumulate} parts already (train.accumulate)",
                "add --set train.accumulate=1: each process holds its share only",
            )

    def prepare(self, network: nn.Module) -> nn.Module:
        """The network with batch norms that see the whole batch.

        Raises:
            SpecError: On a CPU, for which torch has no such norm.
        """
        norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        if self.world == 1 or not norms:
            return network
        if norms[0].weight.device.type != "cuda":
            raise SpecError(
                "batch norm cannot be shared by processes on a CPU", "train in one process, or with instance norm"
            )
        shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return shared

    def gather_outputs(self, outputs: Outputs, size: int) -> Outputs:
        """Logits of the whole batch, per level where the network has several; see `gather`."""
        if isinstance(outputs, Tensor):
            return self.gather(outputs, size)
        return [self.gather(level, size) for level in outputs]

    def gather(self, own: Tensor, size: int) -> Tensor:
        """Rows of all processes in order; gradients flow back to the own ones.

        Args:
            own: (own rows, ...).
            size: Rows of all together.

        Returns:
            (size, ...).
        """
        if self.world == 1:
            return own
        joined: Tensor = _Gather.apply(own, self, size)  # type: ignore[no-untyped-call]
        return joined

    def gather_objects(self, own: Sequence[Value]) -> list[Value]:
        """Values of all processes in order."""
        if self.world == 1:
            return list(own)
        parts: list[Any] = [None] * self.world
        dist.all_gather_object(parts, list(own))
        return [value for part in parts for value in part]

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes, in place."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        # One message instead of one per layer.
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, parts, strict=True):
            gradient.copy_(total.view(gradient.shape))

    def largest(self, value: int) -> int:
        """Largest value of all processes."""
        if self.world == 1:
            return value
        found = torch.tensor(value, device=_wire())
        dist.all_reduce(found, dist.ReduceOp.MAX)
        return int(found)

    def decide(self, choose: Callable[[], Value]) -> Value:
        """What the first process chooses; the others do not call `choose`, and an error of it is theirs too."""
        if self.world == 1:
            return choose()
        told: list[Any] = [None, None]
        if self.is_first:
            try:
                told[0] = choose()
            except AutosegError as error:
                told[1] = error
        dist.broadcast_object_list(told, src=0)
        if told[1] is not None:
            raise told[1]
        chosen: Value = told[0]
        return chosen


ALONE = Share()


def join(device: torch.device) -> tuple[Share, torch.device]:
    """This process's share, and its own device, where `torchrun` started it; else everything and the device given.

    Raises:
        AutosegError: There are more processes than CUDA devices.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return ALONE, device
    if device.type == "cuda":
        place, count = dist.get_node_local_rank(), torch.cuda.device_count()
        if place >= count:
            raise AutosegError(
                f"process {place} has no GPU of its own: this machine has {count}",
                f"start torchrun with --nproc-per-node {count}",
            )
        device = torch.device("cuda", place)
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        _connect("nccl" if device.type == "cuda" else "gloo")
    return Share(dist.get_rank(), dist.get_world_size()), device


def _connect(backend: str) -> None:
    """Find the other processes through torchrun's store.

    The store may still hold the addresses of processes that were lost (seen with torch 2.13: after a restart some
    called the dead). On one machine the number of the restart tells them apart; machines count their own, and need
    `TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1`, which gives every attempt a store of its own.
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ.get("WORLD_SIZE"):
        dist.init_process_group(backend, timeout=PATIENCE)
        return
    store, rank, world = next(iter(rendezvous("env://", timeout=PATIENCE)))
    own = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    dist.init_process_group(backend, store=own, rank=rank, world_size=world, timeout=PATIENCE)


def leave() -> None:
    """Close the connections once all is done; does nothing where there are none."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _wire() -> torch.device:
    """Where small numbers must lie to be sent."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


class _Gather(torch.autograd.Function):
    """Join the rows of all processes. Each judges all of them, so that nothing has to be sent back."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, share: Share, size: int) -> Tensor:
        counts = [len(share.rows(size, rank)) for rank in range(share.world)]
        ctx.rows = share.rows(size)
        padded = own.new_zeros((max(counts), *own.shape[1:]))
        padded[: len(own)] = own
        # As bytes, because gloo does not know every type; equal sizes, because it wants them.
        wire = padded.view(-1).view(torch.uint8)
        parts = [torch.empty_like(wire) for _ in counts]
        dist.all_gather(parts, wire)
        shaped = [part.view(own.dtype).view(padded.shape) for part in parts]
        return torch.cat([part[:count] for part, count in zip(shaped, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad[ctx.rows.start : ctx.rows.stop], None, None
