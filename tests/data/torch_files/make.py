"""Makes the files here with PyTorch, and what PyTorch itself reads in them.

Example:
  python -m venv .torch && .torch/bin/pip install torch==2.13.0 numpy
  .torch/bin/python tests/data/torch_files/make.py

Each content comes with an .npz of its tensors and NumPy arrays, by the path that leads
to them, as `torch.load` gives them; types that NumPy lacks are widened to float32.
"""

import argparse
import collections
import datetime
import enum
import functools
import pathlib
import random
import uuid

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent

SKIPPED = {
    **{name: ("zip5", "old4") for name in ("tensors", "training", "wrapped")},
    "random": ("zip5", "old"),
}
"""Formats that would say nothing new."""


class Stage(enum.Enum):
    """A member is pickled as an attribute or by its value, with Python's version."""

    FIT = "fit"


class Flags(enum.Flag):
    """Flags are pickled by a function of enum's."""

    A = 1
    B = 2


class Callback:
    """What a training framework keeps."""

    def __init__(self):
        self.best, self.paths = np.float64(0.25), [pathlib.PurePosixPath("runs/a")]

    def method(self):
        """A bound method is pickled as an attribute of its object."""


class Slots:
    """An object without a __dict__, whose state has two halves."""

    __slots__ = ("weight",)

    def __init__(self):
        self.weight = torch.arange(3.0)


class Halved:
    """A schedule that is an object, which LambdaLR saves."""

    def __call__(self, epoch):
        """The factor of the learning rate."""
        return 0.5**epoch


class Block(torch.nn.Module):
    """Parameters, buffers that are saved and not, and modules inside."""

    def __init__(self):
        super().__init__()
        self.register_buffer("sigmas", torch.linspace(1, 2, 3))
        self.register_buffer("cache", torch.zeros(2), persistent=False)
        self.all_modules = torch.nn.ModuleList([torch.nn.Linear(3, 2), torch.nn.Conv2d(1, 2, 3)])

    def forward(self, x):
        """Runs the first module."""
        return self.all_modules[0](x)


def tensors():
    """Every type of elements, and every way to lie in a storage."""
    base = torch.arange(24, dtype=torch.float32)
    grid = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    types = ["float64", "float32", "float16", "bfloat16", "complex64", "complex128"]
    types += ["int64", "int32", "int16", "int8", "uint8", "bool"]
    of_type = {name: torch.tensor([0, 1, 2, 100]).to(getattr(torch, name)) for name in types}
    return {
        **of_type,
        "shared": [base[2:8], base[8:].reshape(4, 4), base],
        "transposed": grid.T,
        "strided": grid[::2, 1::2],
        "scalar": torch.tensor(7.5),
        "offset_scalar": base[5],
        "empty": torch.zeros(0, 3),
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 3),
        "channels_last": base.reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.tensor([1.0, -2.0])),
        "storage": torch.arange(4.0).untyped_storage(),
    }


def later_tensors():
    """What the old format does not have."""
    values = torch.tensor([0.0, 1.0, -1.5, 2.0])
    unsigned = ("uint16", "uint32", "uint64")
    small = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    return {
        **{name: torch.tensor([0, 1, 200]).to(getattr(torch, name)) for name in unsigned},
        **{name: values.to(getattr(torch, name)) for name in small},
        "conjugate": torch.tensor([1 + 2j, 3 - 4j]).conj(),
        "negative": torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
    }


def numpy_objects():
    """Numbers and arrays of NumPy's, and objects that are not numbers."""
    types = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "c8", "c16"]
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    return {
        "scalars": {name: np.dtype(name).type(3) for name in types},
        "big": np.arange(3, dtype=">f8"),
        "array": array,
        "fortran": np.asfortranarray(array),
        "strided": array[:, ::2],
        "empty": np.zeros((0, 2)),
        "scalar_array": np.array(5, np.int64),
        "bytes": np.frombuffer(bytes(range(256)), np.uint8),
        "string": np.str_("name"),
        "strings": np.array(["a", "bc"]),
        "date": np.datetime64("2024-05-01"),
        "object": np.array([1, "a", None], dtype=object),
        "record": np.zeros(2, dtype=[("x", "f4"), ("y", "i2")]),
        "masked": np.ma.masked_array([1.0, 2.0], [True, False]),
        "dtype": np.dtype("float32"),
        "type": np.float32,
    }


def random_states():
    """States of random generators, of NumPy's, Python's and PyTorch's."""
    return {
        "python": random.Random(0).getstate(),
        "python_object": random.Random(0),
        "legacy": np.random.RandomState(0).get_state(),
        "legacy_object": np.random.RandomState(0),
        "generator": np.random.default_rng(0),
        "bits": [np.random.PCG64(0), np.random.Philox(0), np.random.SFC64(0)],
        "seeds": np.random.SeedSequence(0),
        "torch": torch.tensor([1, 2, 3, 250], dtype=torch.uint8),
    }


def python_objects():
    """What scripts put beside the weights."""
    counter = collections.defaultdict(list, a=[1])
    return {
        "namespace": argparse.Namespace(lr=2e-4, device=torch.device("cuda:0")),
        "ordered": collections.OrderedDict(a=1),
        "default": counter,
        "counter": collections.Counter("aab"),
        "deque": collections.deque([1, 2], maxlen=3),
        "partial": functools.partial(torch.nn.functional.relu, inplace=True),
        "path": pathlib.PurePosixPath("runs/a"),
        "windows": pathlib.PureWindowsPath("c:/a"),
        "time": datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
        "delta": datetime.timedelta(seconds=3),
        "stage": Stage.FIT,
        "flags": Flags.A | Flags.B,
        "class": Callback,
        "callback": Callback(),
        "method": Callback().method,
        "slots": Slots(),
        "by_class": {Callback: {"best": 1}, Stage: 2},
        "id": uuid.UUID(int=5),
        "set": {1, 2},
        "frozen": frozenset({3}),
        "bytes": bytes(range(256)),
        "no_bytes": b"",
        "bytearray": bytearray(b"abc\xff"),
        "complex": 1 + 2j,
        "range": range(3),
        "slice": slice(1, 2),
        "ellipsis": Ellipsis,
        "size": torch.Size([2, 3]),
        "dtype": torch.bfloat16,
        "layout": torch.strided,
        "types": [int, float, str, print, len, sorted],
    }


def training():
    """A checkpoint of a small network in training, with every part that scripts save."""
    torch.manual_seed(0)
    network = Block()
    optimizer = torch.optim.Adam(network.parameters(), lr=np.float64(2e-4))
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, Halved()),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10),
        torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=10),
    ]
    return {
        "model": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedulers": [scheduler.state_dict() for scheduler in schedulers],
        "step": np.int64(1234),
        "whole": torch.nn.DataParallel(network),
    }


def wrapped():
    """The state dicts of one network in the wrappers that PyTorch has, and the network whole."""
    torch.manual_seed(0)
    network = Block()
    parallel = torch.nn.DataParallel(torch.nn.DataParallel(network))
    return {
        "plain": network.state_dict(),
        "parallel": parallel.state_dict(),
        "compiled": torch.compile(network).state_dict(),
        "averaged": torch.optim.swa_utils.AveragedModel(torch.compile(network)).state_dict(),
        "whole": network,
        "whole_parallel": parallel,
        "parameters": list(network.parameters()),
        "ordered": collections.OrderedDict(network.named_parameters()),
    }


def leaves(node, path=""):
    """Tensors and arrays of numbers by the path that leads to them."""
    if isinstance(node, torch.Tensor):
        small = str(node.dtype).startswith(("torch.float8", "torch.bfloat16"))
        node = node.detach().resolve_conj().resolve_neg()
        yield path, (node.float() if small else node).numpy()
    elif isinstance(node, np.ndarray | np.generic):
        if node.dtype.kind in "biufc" and not isinstance(node, np.ma.MaskedArray):
            yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            if isinstance(key, str | int):
                yield from leaves(value, f"{path}/{key}")
    elif isinstance(node, list):
        for key, value in enumerate(node):
            yield from leaves(value, f"{path}/{key}")


def main():
    """Writes the files."""
    # The old format adds the source of every module's class, here only that there is one.
    torch.serialization.get_source_lines_and_file = lambda cls: (["source"], 1, "module.py")
    contents = {
        "tensors": tensors(),
        "numpy": numpy_objects(),
        "python": python_objects(),
        "random": random_states(),
        "training": training(),
        "wrapped": wrapped(),
    }
    for name, content in contents.items():
        for suffix, options in {
            "zip": {},
            "zip5": {"pickle_protocol": 5},
            "old": {"_use_new_zipfile_serialization": False},
            "old4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
        }.items():
            if suffix in SKIPPED.get(name, ()):
                continue
            torch.save(content, HERE / f"{name}_{suffix}.pth", **options)
        loaded = torch.load(HERE / f"{name}_zip.pth", weights_only=False)
        np.savez_compressed(HERE / f"{name}.npz", **dict(leaves(loaded)))
    torch.jit.save(torch.jit.script(Block()), HERE / "script.pt")
    torch.save(later_tensors(), HERE / "later_zip.pth")
    loaded = torch.load(HERE / "later_zip.pth")
    np.savez_compressed(HERE / "later.npz", **dict(leaves(loaded)))


if __name__ == "__main__":
    main()
