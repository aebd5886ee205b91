"""Finished batches on disk: whole or not there, and of one protocol only."""

import numpy as np
import pytest

from scoresde.jobs import Parts
from scoresde.registry import UsageError


def test_half_a_file_is_no_part(tmp_path):
    """What a killed process leaves of the file that it was writing."""
    parts = Parts(tmp_path / "parts", {})
    parts.save(0, nats=np.zeros(4))
    (tmp_path / "parts" / ".00000004.npz.tmp").write_bytes(b"half")
    assert parts.load(4) is None and parts.load(0)["nats"].shape == (4,)


def test_parts_of_another_protocol_are_refused(tmp_path):
    protocol = {"rtol": 1e-5, "range": (0, 1), "sde": {"name": "vp", "beta_max": 20.0}}
    Parts(tmp_path / "parts", protocol).save(0, nats=np.zeros(4))
    Parts(tmp_path / "parts", protocol)
    changed = protocol | {"sde": {"name": "vp", "beta_max": 10.0}}
    with pytest.raises(UsageError, match=r"sde.beta_max is 20.0 there, 10.0 here") as error:
        Parts(tmp_path / "parts", changed)
    assert "\n" not in str(error.value) and "--overwrite" in str(error.value)
    with pytest.raises(UsageError, match="probes is None there, 2 here"):
        Parts(tmp_path / "parts", protocol | {"probes": 2})
    assert Parts(tmp_path / "parts", changed, again=True).load(0) is None
