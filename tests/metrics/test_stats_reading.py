"""Files of statistics are read as each tool writes them, and nothing in them is run."""

import pickle
import shutil

import numpy as np
import pytest
from golden_numbers import FILES

from scoresde.metrics import stats
from scoresde.registry import UsageError

EXPECTED = dict(np.load(FILES / "expected.npz"))
IN_FLOAT32 = ["cleanfid_mydata_clean_custom_na.npz", "guided_diffusion_ref_batch.npz"]
IN_FLOAT32 += ["mydata-inception-v3-compat-stat-fid-2048.pt"]


@pytest.mark.parametrize(
    "name, num",
    [
        ("pytorchfid_stats.npz", None),
        ("edm_ref.npz", None),
        ("edm2_ref.pkl", 40),
        *((name, None) for name in IN_FLOAT32),
    ],
)
def test_moments_are_read_exactly(name, num):
    found = stats.read(FILES / name)
    mean = EXPECTED["mu"]
    if name in IN_FLOAT32:  # their mean alone, which NumPy adds up in that type
        np.testing.assert_allclose(found.mean, mean, rtol=2e-7)
    else:
        np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.covariance, EXPECTED["sigma"])
    assert found.mean.dtype == found.covariance.dtype == np.float64
    assert (found.num, found.features, found.protocol) == (num, None, None)


@pytest.mark.parametrize(
    "name",
    ["cleanfid_mydata_clean_custom_na_kid.npz", "dgm_eval_reps.npz", "score_sde_dataset_stats.npz"],
)
def test_features_are_read_and_their_moments_computed(name):
    found = stats.read(str(FILES / name))
    np.testing.assert_array_equal(found.features, EXPECTED["features"])
    np.testing.assert_allclose(found.mean, EXPECTED["mu"], rtol=1e-14)
    np.testing.assert_allclose(found.covariance, EXPECTED["sigma"], atol=1e-15)
    assert found.num == 40


def test_a_tensor_alone_is_features():
    found = stats.read(FILES / "mydata-inception-v3-compat-features-2048.pt")
    np.testing.assert_array_equal(found.features, EXPECTED["features"][:10])


def test_an_array_alone_is_features(tmp_path):
    np.save(tmp_path / "features.npy", EXPECTED["features"])
    np.savez(tmp_path / "features.npz", EXPECTED["features"])
    for name in ("features.npy", "features.npz"):
        np.testing.assert_array_equal(stats.read(tmp_path / name).features, EXPECTED["features"])


def test_a_set_in_several_files_is_one_also_by_its_folder(tmp_path):
    paths = [FILES / f"score_sde_statistics_{i}.npz" for i in (0, 1)]
    half = dict(np.load(paths[1]))
    shutil.copy(paths[0], tmp_path / "statistics_0.npz")
    for i, rows in ((2, slice(1)), (10, slice(1, None))):  # of which the first has one image
        np.savez(tmp_path / f"statistics_{i}.npz", **{k: v[rows] for k, v in half.items()})
    (tmp_path / "report_0.npz").write_bytes(b"")
    for found in (stats.read(paths), stats.read(tmp_path)):
        np.testing.assert_array_equal(found.features, EXPECTED["features"])
        np.testing.assert_array_equal(found.logits, EXPECTED["logits"])
        np.testing.assert_allclose(found.mean, EXPECTED["mu"], rtol=1e-14)
        np.testing.assert_allclose(found.covariance, EXPECTED["sigma"], atol=1e-15)
        assert found.num == 40


def test_logits_that_are_none_are_not_there():
    found = stats.read(FILES / "score_sde_statistics_inceptionv3.npz")
    assert found.logits is None and found.num == 4
    first = stats.read(FILES / "score_sde_statistics_0.npz")
    np.testing.assert_array_equal(first.logits, EXPECTED["logits"][:20])


def test_one_of_several_kinds_may_be_asked_for():
    path = FILES / "edm2_ref.pkl"
    fid, dinov2 = stats.read(path, "fid"), stats.read(path, "fd_dinov2")
    assert (len(fid.mean), len(dinov2.mean)) == (8, 4)
    spatial = stats.read(FILES / "guided_diffusion_ref_batch.npz", "sfid")
    np.testing.assert_allclose(spatial.mean, EXPECTED["mu"][:4], rtol=2e-7)
    with pytest.raises(UsageError, match="has no kid; it has fid, fd_dinov2"):
        stats.read(path, "kid")
    with pytest.raises(UsageError, match="has no sfid"):
        stats.read(FILES / "edm_ref.npz", "sfid")
    with pytest.raises(UsageError, match="has no sfid"):
        stats.read(FILES / "dgm_eval_reps.npz", "sfid")
    assert len(stats.read(FILES / "edm_ref.npz", "fd_dinov2").mean) == 8  # it does not say of what


@pytest.mark.parametrize(
    "name, words",
    [
        ("bad_asymmetric.npz", "sigma is no covariance: it is not symmetric"),
        ("bad_keys.npz", "has mean, cov; expected mu and sigma"),
        ("bad_nan.npz", "has NaN or infinity"),
        ("bad_shape.npz", r"got the shapes \(8,\) and \(7, 8\)"),
        ("bad_truncated.npz", "is cut off after 300 bytes"),
        ("guided_diffusion_samples.npz", "arr_0, arr_1, no statistics. Those are images"),
        ("score_sde_samples_0.npz", "samples, no statistics. Those are images"),
        ("score_sde_report_8.npz", r"has scores \(IS, fid, kid\)"),
        ("nowhere.npz", "No file"),
        (".", "is a folder without score_sde's statistics_0.npz"),
    ],
)
def test_what_are_no_statistics_is_refused_in_a_line_with_the_file(name, words):
    with pytest.raises(UsageError, match=words) as error:
        stats.read(FILES / name)
    assert "\n" not in str(error.value)
    assert str(FILES / name) in str(error.value)


class Harmful:
    def __reduce__(self):
        return print, ("run",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    harm = Harmful()
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"fid": {"mu": harm, "sigma": harm}}))
    np.savez(tmp_path / "b.npz", mu=np.array(harm), sigma=np.eye(1))
    np.savez(tmp_path / "c.npz", pool_3=EXPECTED["features"], logits=np.array(harm))
    np.savez(tmp_path / "d.npz", reps=EXPECTED["features"], hparams=np.array(harm))
    np.save(tmp_path / "e.npy", np.array(harm))
    for name in ("a.pkl", "b.npz", "e.npy"):
        with pytest.raises(UsageError, match=name):
            stats.read(tmp_path / name)
    for name in ("c.npz", "d.npz"):
        assert stats.read(tmp_path / name).logits is None
    assert capsys.readouterr().out == ""


def test_files_that_do_not_go_together_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", pool_3=np.ones((3, 5)))
    np.savez(tmp_path / "uneven.npz", pool_3=np.ones((3, 5)), logits=np.ones((2, 5)))
    np.savez(tmp_path / "one.npz", pool_3=np.ones((1, 5)))
    first = FILES / "score_sde_statistics_0.npz"
    with pytest.raises(UsageError, match="several lengths"):
        stats.read([first, tmp_path / "other.npz"])
    with pytest.raises(UsageError, match="features alone"):
        stats.read([first, FILES / "edm_ref.npz"])
    with pytest.raises(UsageError, match="3 features but 2 logits"):
        stats.read(tmp_path / "uneven.npz")
    with pytest.raises(UsageError, match="of one image"):
        stats.read(tmp_path / "one.npz")
    with pytest.raises(UsageError, match="No file of statistics"):
        stats.read([])
