"""A second device that is none: its tensors lie on the host, and refuse what tensors of a GPU would refuse.

With it every line written for a GPU runs, and is compared with the CPU, on machines that have none. It joins two parts
of torch: the key `PrivateUse1`, kept for devices that torch does not know (guards, streams, autograd threads), and a
dispatch mode, which sees each operation before its kernel does.

To import it is to register the device, for good. Autograd counts devices when a process runs backward for the first
time, hence these tests have a process of their own.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from twin_autocast import HALF, cast, register_autocast

aten = torch.ops.aten
TWIN = torch.device("cpu")  # until it is registered, below
CROSSING = {aten._to_copy.default, aten.copy_.default}
"""What may see tensors of both sides."""
BY_HOST_INDICES = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""Whose indices may lie on the host; a GPU waits for them."""
WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"}
"""What needs the values themselves, for which the host waits until the device has computed them."""


ENTERED: list[Twin] = []


class TwinTensor(torch.Tensor):
    """A tensor of that device; `held` has the values, on the host."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> TwinTensor:
        layout = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device="meta")
        made = torch.Tensor._make_subclass(cls, layout, False, dispatch_device=True, device_for_backend_keys=TWIN)
        made.held = held
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"TwinTensor({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return TWIN
        raise RuntimeError(f"{func} of a tensor on {TWIN} outside of `Twin`")


class Twin(TorchDispatchMode):
    """While it is entered, the device exists.

    Attributes:
        device: To hand to what is tested.
        waits: How often the host waited for the device, by operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.device = TWIN
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            return TWIN
        if torch.is_inference_mode_enabled() and _is_composite(func):
            with self:
                return func.decompose(*args, **kwargs)
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        ours = [tensor for tensor in tensors if isinstance(tensor, TwinTensor)]
        if ours and func not in CROSSING:
            _refuse_mixture(func, args, kwargs)
        there = _is_result_there(func, args, kwargs, ours)
        if not kwargs.get("non_blocking"):
            self._count(func, ours, tensors, there=there)
        known = {id(tensor.held): tensor for tensor in ours}
        result = _computed(func, tree_map(_host, args), tree_map(_host, kwargs))
        for tensor in ours:
            assert tensor.shape == tensor.held.shape, f"{func} changes the shape of a tensor in place"
        return tree_map(lambda value: _wrapped(value, known) if there else value, result)

    def _count(self, func: Any, ours: list[TwinTensor], tensors: list[torch.Tensor], *, there: bool) -> None:
        name = func.overloadpacket.__name__
        if ours and not there:
            self.waits["to the host" if func in CROSSING else name] += 1
        elif there and func in CROSSING and len(ours) < len(tensors):
            self.waits["from the host"] += 1
        elif ours and (name in WAITING or (name in BY_HOST_INDICES and len(ours) < len(tensors))):
            self.waits[name] += 1


@contextlib.contextmanager
def twin() -> Iterator[Twin]:
    """The device, for the time of the context."""
    made = Twin()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    # Weights would keep being the host's tensors with other values.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        ENTERED.append(made)
        with (
            mock.patch.object(torch, "Generator", _Generator),
            # As on MPS: torch has no kernels there that take many tensors, and refuses to be told to use them.
            mock.patch("torch.utils._foreach_utils._get_foreach_kernels_supported_devices", list),
            made,
        ):
            yield made
    finally:
        ENTERED.pop()
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


class _Generator(torch.Generator):
    """The device draws as the host does."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls, device=_host(torch.device(device)))


class _Module(backend_registration._DummyBackendModule):
    """What `torch.twin` answers. It has no random state: whoever saves that of every device would open each GPU."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


def _empty(size: Any, stride: Any, dtype: Any = None, **_: Any) -> TwinTensor:
    return TwinTensor(torch.empty_strided(size, stride, dtype=dtype))


def _fill(values: torch.Tensor, made: TwinTensor, non_blocking: bool = False) -> TwinTensor:
    """Lists as indices and `torch.tensor(..., device=...)` come by here, past the mode: copied while the host waits."""
    made.held.copy_(values)
    ENTERED[-1].waits["from the host"] += 1
    return made


def _is_composite(func: Any) -> bool:
    """Whether autograd would have taken it apart; without autograd it arrives whole."""
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"))


def _refuse_mixture(func: Any, args: Any, kwargs: Any) -> None:
    """Numbers may come from the host; arrays may not, nor may the host's tensors be written to."""
    name = func.overloadpacket.__name__
    given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    for argument in func._schema.arguments:
        is_written = argument.alias_info is not None and argument.alias_info.is_write
        for leaf in tree_leaves(given.get(argument.name)):
            if not isinstance(leaf, torch.Tensor) or isinstance(leaf, TwinTensor):
                continue
            if is_written or (leaf.dim() > 0 and not (name in BY_HOST_INDICES and argument.name == "indices")):
                raise RuntimeError(f"{func}: '{argument.name}' is on the host, other tensors are on {TWIN}")


def _is_result_there(func: Any, args: Any, kwargs: Any, ours: list[TwinTensor]) -> bool:
    if func is aten.copy_.default:
        return isinstance(args[0], TwinTensor)
    wanted = kwargs.get("device")
    return bool(ours) if wanted is None else torch.device(wanted).type == TWIN.type


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    """On the host; in float32 what a GPU computes in half precision and a CPU does not."""
    try:
        return func(*args, **kwargs)
    except NotImplementedError:
        halves = {leaf.dtype for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)} & set(HALF)
        if not halves:
            raise
        (kind,) = halves
        return cast(kind, func(*cast(torch.float32, args), **cast(torch.float32, kwargs)))


def _host(value: Any) -> Any:
    """A tensor's values, and the host where the device is meant."""
    if isinstance(value, TwinTensor):
        return value.held
    if isinstance(value, torch.device) and value.type == TWIN.type:
        return torch.device("cpu")
    return value


def _wrapped(value: Any, known: dict[int, TwinTensor]) -> Any:
    """In place means the same object."""
    if not isinstance(value, torch.Tensor) or isinstance(value, TwinTensor):
        return value
    return known[id(value)] if id(value) in known else TwinTensor(value)


backend_registration._setup_privateuseone_for_python_backend("twin", backend_module=_Module())
TWIN = torch.device("twin", 0)
LIBRARY = torch.library.Library("aten", "IMPL")
LIBRARY.impl("empty_strided", _empty, "PrivateUse1")
LIBRARY.impl("_copy_from", _fill, "PrivateUse1")
register_autocast()
