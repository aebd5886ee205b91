"""The loop over images: none left out, none computed twice."""

import numpy as np
import pytest

from scoresde.evaluation import Parts, in_passes


def estimate(rows, number):
    return {"nats": rows + 0.1 * number, "nfe": rows * 0 + 7}


def run(parts=None, estimate=estimate, **options):
    return in_passes(estimate, num=11, batch_size=4, passes=2, parts=parts, **options)


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

    seen, reports = [], []

    def watched(rows, number):
        seen.append(int(rows[0]))
        return estimate(rows, number)

    directory = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        run(Parts(directory, {"seed": 0}), failing)
    results = run(Parts(directory, {"seed": 0}), watched, progress=reports.append)
    assert seen == [8, 8]
    assert [report.done for report in reports if report.stage == "batch"] == [11]
    assert {(report.found, report.num, report.kept) for report in reports} == {(8, 11, directory)}
    np.testing.assert_array_equal(results["nats"], run()["nats"])

    Parts(directory, {"seed": 0}).remove()
    assert not directory.exists()
