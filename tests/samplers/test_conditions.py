"""What differs from sample to sample stays with its sample, whatever the batch and the devices."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from scoresde import samplers

SCRIPT = pathlib.Path(__file__).parent / "eight_devices.py"


@pytest.fixture(scope="module")
def differences():
    """Of a batch from its samples one by one: by method, on one device and on eight."""
    environment = dict(os.environ)
    flags = environment.get("XLA_FLAGS", "")
    environment["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    environment["PYTHONPATH"] = str(SCRIPT.parent.parent.parent)
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("devices") == 8
    return found


@pytest.mark.parametrize("name", [*samplers.SAMPLERS, "encode"])
def test_a_batch_is_its_samples_one_by_one(name, differences):
    """With a condition that differs, and along a grid a constraint with keys of its own."""
    assert max(differences[name].values()) < 2e-5, differences[name]
