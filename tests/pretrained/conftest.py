"""Numbers made with the reference implementations; see tests/data/golden."""

import dataclasses
import json
import pathlib

import numpy as np
import pytest

DIRECTORY = pathlib.Path(__file__).parent.parent / "data" / "golden"


@dataclasses.dataclass
class Golden:
    """One reference network: its configuration, state dict, input and output."""

    name: str

    @property
    def config(self):
        return json.loads((DIRECTORY / f"{self.name}.json").read_text())

    @property
    def arrays(self):
        with np.load(DIRECTORY / f"{self.name}.npz") as file:
            return {
                name.removesuffix("_nchw").removesuffix("_nhwc"): (
                    file[name].transpose(0, 2, 3, 1) if name.endswith("_nchw") else file[name]
                )
                for name in file.files
                if not name.startswith("sd/")
            }

    @property
    def state_dict(self):
        with np.load(DIRECTORY / f"{self.name}.npz") as file:
            return {
                name.removeprefix("sd/"): file[name]
                for name in file.files
                if name.startswith("sd/")
            }

    def file(self, suffix):
        return DIRECTORY / f"{self.name}{suffix}"


@pytest.fixture(scope="session")
def golden():
    """`golden(name)` reads one of the reference's cases."""
    return Golden


@pytest.fixture(scope="session")
def relative_error():
    """The norm of a difference over the norm of what was expected."""
    return lambda actual, expected: (
        np.linalg.norm(np.asarray(actual) - expected) / np.linalg.norm(expected)
    )
