"""The loop over images: none left out, none computed twice, and parts of one protocol only."""

import numpy as np
import pytest

from scoresde.evaluation import Parts, evaluate
from scoresde.registry import UsageError


def estimate(rows, number):
    return {"nats": rows + 0.1 * number, "nfe": rows * 0 + 7}


def run(parts=None, estimate=estimate, **options):
    return evaluate(estimate, num=11, batch_size=4, passes=2, parts=parts, **options)


def test_every_image_once_in_order_with_the_tail():
    results = run()
    np.testing.assert_allclose(results["nats"][:, 0], np.arange(11))
    np.testing.assert_allclose(results["nats"][:, 1], np.arange(11) + 0.1)
    assert results["nfe"].shape == (11, 2) and results["seconds"].shape == (3,)


def test_an_interrupted_run_computes_the_rest_only(tmp_path):
    def failing(rows, number):
        if rows[0] == 8:
            raise KeyboardInterrupt
        return estimate(rows, number)

    seen, reported = [], []

    def watched(rows, number):
        seen.append(int(rows[0]))
        return estimate(rows, number)

    directory = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        run(Parts(directory, {"seed": 0}), failing)
    results = run(
        Parts(directory, {"seed": 0}), watched, report=lambda batch, new: reported.append(new)
    )
    assert seen == [8, 8] and reported == [0, 0, 3]
    np.testing.assert_array_equal(results["nats"], run()["nats"])

    Parts(directory, {"seed": 0}).remove()
    assert not directory.exists()


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
