"""Numbers made with the reference implementations; see tests/data/golden."""

import dataclasses
import functools
import json
import pathlib

import jax
import numpy as np
import pytest

DIRECTORY = pathlib.Path(__file__).parent.parent / "data" / "golden"


@dataclasses.dataclass(frozen=True)
class Golden:
    """One reference network: its configuration, its weights, an input and the output for it."""

    name: str

    @property
    def config(self):
        """A fresh copy of the configuration."""
        return json.loads(self.file(".json").read_text())

    @functools.cached_property
    def contents(self):
        with np.load(self.file(".npz")) as file:
            return dict(file)

    @property
    def state_dict(self):
        """The weights by the reference's own names."""
        items = self.contents.items()
        return {name.removeprefix("sd/"): value for name, value in items if name[:3] == "sd/"}

    @property
    def tree(self):
        """The weights as nested dictionaries, where names are paths."""
        tree = {}
        for name, value in self.state_dict.items():
            *path, leaf = name.split("/")
            node = tree
            for part in path:
                node = node.setdefault(part, {})
            node[leaf] = value
        return tree

    def images(self, name):
        """An array [batch, height, width, channels]."""
        if f"{name}_nchw" in self.contents:
            return self.contents[f"{name}_nchw"].transpose(0, 2, 3, 1)
        return self.contents[f"{name}_nhwc"]

    def file(self, suffix):
        return DIRECTORY / f"{self.name}{suffix}"


@pytest.fixture(scope="session")
def golden():
    """`golden(name)` is one of the reference's cases."""
    return functools.cache(Golden)


@pytest.fixture(scope="session")
def apply():
    """`apply(network, params, *inputs)`; equal networks compile once."""
    return functools.partial(jax.jit, static_argnums=0)(
        lambda network, params, *inputs: network.apply(params, *inputs)
    )


@pytest.fixture(scope="session")
def relative_error():
    """The norm of a difference over the norm of what was expected."""
    return lambda actual, expected: (
        np.linalg.norm(np.asarray(actual) - expected) / np.linalg.norm(expected)
    )
