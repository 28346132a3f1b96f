"""A pickle read without unpickling: `pickletools` lists its instructions, our own small machine follows forty of them.

A pickle is a program, and unpickling runs what it names. Here nothing of the file is called: each name that it wants to
call must be one of those below, or one that the caller allows, for which a plain value of ours is made. This module is
the only place where the project touches pickles.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autoseg.core.errors import CheckpointError

CURE = "copy it again, or do not use it"
_STORAGES = {
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}


@dataclass(frozen=True)
class Storage:
    """Numbers of one file of the archive.

    Attributes:
        key: Name of that file.
        kind: Torch's name of the type.
        bytes_each: Size of a number.
        count: How many there are.
    """

    key: str
    kind: str
    bytes_each: int
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read.

    Attributes:
        storage: Its numbers.
        offset: First of them.
        shape: Sizes.
        strides: Steps in numbers.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Opaque:
    """A value that is allowed in the file and of no use here, such as an array of the training log.

    Attributes:
        kind: What it is.
    """

    kind: str


class Refused(Exception):  # noqa: N818 - turned into a CheckpointError where the file's name is known
    """Something that is not allowed, by name."""


@dataclass(frozen=True)
class Named:
    """Stands for a name that the file holds.

    Attributes:
        name: `module.attribute`.
        make: Function of ours that a call of it means.
    """

    name: str
    make: Callable[..., Any]


@dataclass(frozen=True)
class Allowed:
    """What a pickle may name.

    Attributes:
        names: `module.attribute`, and what is called instead.
        meaning: What is said of anything else: it is ...
        cure: What to do with a file that is refused.
    """

    names: Mapping[str, Callable[..., Any]]
    meaning: str
    cure: str


def read_pickle(program: bytes, where: str, allowed: Allowed) -> Any:
    """The value that a pickle builds, made by functions of ours.

    Args:
        program: The pickle.
        where: How to name it in messages.
        allowed: What it may name.

    Raises:
        CheckpointError: An instruction or a name that is not allowed, by that name, or a broken program.
    """
    return _Machine(where, allowed).run(program)


class _Machine:
    """Stack and memo of one pickle."""

    def __init__(self, where: str, allowed: Allowed) -> None:
        self.where, self.allowed = where, allowed
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, program: bytes) -> Any:
        """The value that the program builds.

        Raises:
            CheckpointError: An instruction or a name that is not allowed, or a broken program.
        """
        try:
            for opcode, argument, _ in pickletools.genops(program):
                if opcode.name == "STOP":
                    return self.stack.pop()
                self._step(opcode.name, argument)
        except Refused as refusal:
            raise CheckpointError(
                f"{self.where} is refused: it holds {refusal}, which is {self.allowed.meaning}", self.allowed.cure
            ) from refusal
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, struct.error) as error:
            raise CheckpointError(f"{self.where} is damaged ({error})", CURE) from error
        raise CheckpointError(f"{self.where} is damaged (its end is missing)", CURE)

    def _step(self, name: str, argument: Any) -> None:
        if name in _NOTHING:
            return
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
            self.memo[len(self.memo) if argument is None else int(argument)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self.stack.append(self.memo[int(argument)])
        elif name in _BUILDERS:
            _BUILDERS[name](self, argument)
        else:
            raise Refused(f"the pickle instruction {name}")

    def pop_to_mark(self) -> list[Any]:
        """Everything above the last mark, which goes too."""
        start = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def name(self, argument: str | None) -> None:
        """Push what stands for a name, if it is allowed."""
        if argument is None:
            attribute, module = self.stack.pop(), self.stack.pop()
        else:
            module, attribute = argument.split(" ", 1)
        # Python 2's and numpy 1's spellings of the same modules.
        known = f"{module}.{attribute}".replace("__builtin__.", "builtins.").replace("numpy.core.", "numpy._core.")
        if known not in self.allowed.names:
            raise Refused(f"{module}.{attribute}")
        self.stack.append(Named(known, self.allowed.names[known]))

    def call(self, _argument: Any) -> None:
        """Make the value for a call, with our own functions."""
        arguments, maker = self.stack.pop(), self.stack.pop()
        if not isinstance(maker, Named) or not isinstance(arguments, tuple):
            raise Refused(f"a call of {_name_of(maker)}")
        self.stack.append(maker.make(*arguments))

    def load_storage(self, _argument: Any) -> None:
        """The numbers of a tensor, by the name of their file."""
        kind, maker, key, _place, count = self.stack.pop()
        if kind != "storage" or not isinstance(maker, Named) or not maker.name.endswith("Storage"):
            raise Refused(f"the reference {kind!r}")
        if not (isinstance(key, str) and key.isdecimal() and isinstance(count, int)):
            raise Refused(f"the storage {key!r}")
        self.stack.append(Storage(key, *_STORAGES[maker.name.rpartition(".")[2]], count))

    def set_state(self, _argument: Any) -> None:
        """State of a value: the byte order of a numpy type matters, that of dictionaries and arrays does not."""
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, _NumberType) and isinstance(state, tuple):
            self.stack[-1] = _NumberType(value.code, ">" if state[1] == ">" else "<")
            self.memo = {place: self.stack[-1] if each is value else each for place, each in self.memo.items()}
        elif not isinstance(value, dict | Opaque):
            raise Refused(f"a state of {_name_of(value)}")

    def append(self, items: Iterable[Any]) -> None:
        """Extend the list on top."""
        if not isinstance(self.stack[-1], list):
            raise Refused(f"items of {_name_of(self.stack[-1])}")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        """Fill the dictionary on top."""
        if not isinstance(self.stack[-1], dict):
            raise Refused(f"entries of {_name_of(self.stack[-1])}")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def take(self, count: int) -> list[Any]:
        """The last `count` values, in their order."""
        items = [self.stack.pop() for _ in range(count)]
        return items[::-1]


@dataclass(frozen=True)
class _NumberType:
    """numpy's type, e.g. `f8`, and its byte order."""

    code: str
    order: str = "<"


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_rest: Any) -> StoredTensor:
    whole = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or not all(isinstance(each, int) and each >= 0 for each in whole):
        raise Refused("a tensor without numbers")
    if len(shape) != len(strides):
        raise Refused("a tensor without a layout")
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


def _scalar(kind: Any, content: Any) -> int | float | bool | Opaque:
    codes = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u1": "B", "b1": "?"}
    if not isinstance(kind, _NumberType) or not isinstance(content, bytes):
        raise Refused("a numpy value of no number type")
    if kind.code not in codes:
        return Opaque(f"numpy {kind.code}")
    value: int | float | bool = struct.unpack(kind.order + codes[kind.code], content)[0]
    return value


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding != "latin1" or not isinstance(text, str):
        raise Refused(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


def _number_type(code: Any, *_flags: Any) -> _NumberType:
    if not isinstance(code, str):
        raise Refused("a numpy type without a code")
    return _NumberType(code)


def uncallable(*_arguments: Any) -> None:
    """Stands for what may be named, but not called."""
    raise Refused("a call of a type")


def _name_of(value: Any) -> str:
    return value.name if isinstance(value, Named) else type(value).__name__


_MARK = object()
_NOTHING = frozenset({"PROTO", "FRAME"})
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (), "MARK": _MARK}
_LITERALS = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)
_BUILDERS: dict[str, Callable[[_Machine, Any], None]] = {
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.take(3))),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.set_state,
    "BINPERSID": _Machine.load_storage,
}
NUMBERS: Mapping[str, Callable[..., Any]] = {
    "numpy.dtype": _number_type,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
}
"""What numpy's numbers need."""
WEIGHTS = Allowed(
    {
        "collections.OrderedDict": lambda pairs=(): dict(pairs),
        "torch._utils._rebuild_tensor_v2": _tensor,
        "torch._utils._rebuild_parameter": lambda tensor, *_rest: tensor,
        "torch.device": lambda kind, *_index: str(kind),
        "torch.Size": tuple,
        "numpy._core.multiarray._reconstruct": lambda *_arguments: Opaque("numpy array"),
        "numpy.ndarray": uncallable,
        **NUMBERS,
        **{f"torch.{name}": uncallable for name in _STORAGES},
    },
    meaning="neither a weight nor a plain value",
    cure="do not use it, or save its weights without the rest",
)
"""What a checkpoint of nnU-Net needs."""
