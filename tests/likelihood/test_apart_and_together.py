"""What differs from sample to sample stays with its sample, whatever the batch and the devices."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parent / "apart_and_together.py"
METHODS = ("log_prob", "score_flow", "score_flow, ssm", "vdm", "ddpm")


@pytest.fixture(scope="module")
def differences():
    """Of a batch from its samples one by one: by method, on one device and on eight."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(SCRIPT.parents[2])}
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("devices") == 8 and found.keys() == set(METHODS)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_a_batch_is_its_samples_one_by_one(name, differences):
    """With a condition that differs; of `log_prob`, with every estimator of the trace."""
    assert max(differences[name].values()) < 1e-3, differences[name]
