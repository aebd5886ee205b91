"""An unpickler that runs nothing of what a file names.

A pickle is a program: it may call anything that can be imported. Here it gets containers, numbers
and tensors; whatever else it names is stood in for (`stand_ins`). Nor can it change what it is
given to build with, or make this process allocate more than a small multiple of the file's length.
"""

import dataclasses
import io
import pickle
import pickletools
from collections.abc import Mapping
from typing import Any

from scoresde.pretrained import numpy_objects, tensors
from scoresde.pretrained.stand_ins import Sealed, StandIn, StandIns, refuse_running
from scoresde.registry import UsageError

ENCODINGS = {"latin1", "latin-1", "iso-8859-1", "utf-8", "utf8", "ascii"}
"""What text may be encoded with, none of which computes anything."""


class Dictionary(dict):
    """Stands for an OrderedDict, a defaultdict or a Counter; of its own attributes none is kept."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


@dataclasses.dataclass
class Budget:
    """How many more elements a file may copy: each that is copied once is a byte of the file's."""

    left: int

    def take(self, items: Any) -> Any:
        """The items again.

        Raises:
            UsageError: the file copies the same ones over and over.
        """
        self.left -= len(items)
        if self.left < 0:
            raise UsageError("The file is no file of weights: it copies itself over and over.")
        return items


@dataclasses.dataclass(frozen=True)
class Container(Sealed):
    """Makes a container of one given, or an empty one."""

    kind: type
    budget: Budget

    def __call__(self, *args):
        # A defaultdict has its function, which is dropped, before its items.
        items = args[-1] if args and not isinstance(args[-1], type) else ()
        if not isinstance(items, dict | list | tuple | set | frozenset):
            return self.kind()
        if self.kind is tuple and type(items) is tuple:
            return items
        return self.kind(self.budget.take(items))


@dataclasses.dataclass(frozen=True)
class Bytes(Sealed):
    """`_codecs.encode`, `bytes` and `bytearray`: how protocol 2 writes bytes, as text."""

    kind: type
    budget: Budget

    def __call__(self, text="", encoding="utf-8", *_):
        if isinstance(text, bytes | bytearray):
            return self.kind(self.budget.take(text))
        if not isinstance(text, str) or encoding not in ENCODINGS:
            raise UsageError("The file is no file of weights: it makes bytes of what is no text.")
        return self.kind(self.budget.take(text).encode(encoding))


@dataclasses.dataclass(frozen=True)
class Complex(Sealed):
    """`complex`, of numbers alone."""

    def __call__(self, *parts):
        return complex(*(part for part in parts if type(part) in (int, float)))


def allowed(budget: Budget) -> Mapping[tuple[str, str], Any]:
    """What stands for names of Python's and PyTorch's that weights are made with."""
    containers = {
        **{("collections", name): Dictionary for name in ("OrderedDict", "defaultdict", "Counter")},
        **{("builtins", kind.__name__): kind for kind in (dict, list, set, frozenset, tuple)},
        ("torch", "Size"): tuple,
    }
    byte_strings = {
        ("_codecs", "encode"): bytes,
        ("builtins", "bytes"): bytes,
        ("builtins", "bytearray"): bytearray,
    }
    return {
        **{place: Container(kind, budget) for place, kind in containers.items()},
        **{place: Bytes(kind, budget) for place, kind in byte_strings.items()},
        ("builtins", "complex"): Complex(),
        **tensors.REBUILD,
    }


class Unpickler(pickle.Unpickler):
    """Reads one pickle.

    Args:
        program: the pickle's bytes.
        where: the file's name, for errors.
        file: where its tensors' storages are; None if it can have none.
    """

    def __init__(self, program: bytes, where: Any, file: tensors.File | None = None):
        # Python 2's strings may be bytes, which this encoding alone gives back as they were.
        super().__init__(io.BytesIO(program), encoding="latin1")
        self.where, self.file = where, file
        self.allowed = allowed(Budget(len(program)))
        self.stand_ins = StandIns()
        self.dtypes: dict[str, Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; nothing is imported."""
        place = ("builtins" if module == "__builtin__" else module, name)
        if place in self.allowed:
            return self.allowed[place]
        if place == ("builtins", "getattr"):
            return self._getattr()
        element_type = tensors.STORAGES.get(name, name)
        if module in ("torch", "torch.storage", "torch.cuda") and element_type in tensors.DTYPES:
            return tensors.ElementType(element_type)
        refuse_running(module, name, self.where)
        return numpy_objects.known(module, name) or self.stand_ins.named(f"{module}.{name}")

    def _getattr(self) -> type[StandIn]:
        """A class whose instances would be attributes; see `StandIns.attribute`."""
        stand_ins = self.stand_ins

        class Attribute(StandIn):
            __slots__ = ()
            name = "builtins.getattr"

            def __new__(cls, owner=None, name=None, *_):
                return stand_ins.attribute(owner, name)

        return Attribute

    def persistent_load(self, identifier: Any) -> Any:
        """The storage, or the module's class, that an identifier is of."""
        if identifier[0] == "module":  # the class, and its source, which is not looked at
            return identifier[1]
        kind, dtype, key, *rest = identifier
        if kind != "storage" or self.file is None or not isinstance(dtype, tensors.ElementType):
            raise UsageError(f"{self.where} has tensors of a kind that is not known: {dtype}.")
        element_type = tensors.DTYPES[dtype.name]
        self.dtypes.setdefault(str(key), element_type)
        view = rest[2] if len(rest) > 2 else None
        if view is None:
            return tensors.Storage(self.file, str(key), element_type)
        _, start, count = view
        if type(start) is not int or type(count) is not int or min(start, count) < 0:
            raise UsageError("The file is no file of weights: a storage's place is not a number.")
        return tensors.Storage(self.file, str(key), element_type, start, start + count)


def check(program: Any) -> int:
    """The length of the pickle that bytes or an open file begin with.

    Raises:
        UsageError: it numbers its objects so that the unpickler would allocate gigabytes, or uses
            codes that other packages may have given a meaning.
        ValueError: it ends early, or is no pickle.
    """
    start = 0 if isinstance(program, bytes) else program.tell()
    stop, highest, used = start, 0, set()
    for opcode, argument, place in pickletools.genops(program):
        used.add(opcode.name)
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            highest = max(highest, argument)
        stop = place + 1
    length = stop - start
    if highest > length:
        raise UsageError("The file is no file of weights: it remembers too many objects.")
    if used & {"EXT1", "EXT2", "EXT4"}:
        raise UsageError("The file is no file of weights: it calls objects by number.")
    return length
