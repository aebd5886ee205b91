"""What differs from sample to sample stays with its sample, whatever the batch and the devices."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from eight_devices import ON_ONE

from scoresde import samplers

SCRIPT = pathlib.Path(__file__).parent / "eight_devices.py"


# A kind of driver each, and an ODE, from data to noise; the others are steps of the same drivers.
KINDS = (*ON_ONE, "encode")


@pytest.fixture(scope="module")
def differences(request):
    """Of a batch from its samples one by one: by method asked for, on one device and on eight."""
    asked = [item for item in request.session.items if item.path == request.path]
    names = [item.callspec.params["name"] for item in asked]
    environment = dict(os.environ)
    flags = environment.get("XLA_FLAGS", "")
    environment["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    environment["PYTHONPATH"] = str(SCRIPT.parent.parent.parent)
    done = subprocess.run(
        [sys.executable, SCRIPT, *names],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("devices") == 8 and found.keys() == set(names)
    return found


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] * (name not in KINDS))
        for name in (*samplers.SAMPLERS, "encode")
    ],
)
def test_a_batch_is_its_samples_one_by_one(name, differences):
    """With a condition that differs, and along a grid a constraint with keys of its own."""
    assert max(differences[name].values()) < 2e-5, differences[name]
