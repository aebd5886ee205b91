"""Files of statistics are written as the tools read them, whole, and over none that is there."""

import pickle
import zipfile

import numpy as np
import pytest
from golden_numbers import ARRAYS, FILES

from scoresde import metrics
from scoresde.metrics import stats
from scoresde.registry import UsageError

PROTOCOL = {"extractor": "inception", "resize": "tf1", "dtype": "float32", "weights": "6726825d"}


@pytest.fixture(scope="module")
def moments():
    return metrics.Statistics().update(ARRAYS["gen"]).result(PROTOCOL)


@pytest.mark.parametrize(
    "name, format",
    [("a.npz", None), ("a.pkl", None), ("a.pt", None), ("a.bin", "edm"), ("b", "torch_fidelity")],
)
def test_what_is_written_is_read_again_exactly(name, format, moments, tmp_path):
    path = tmp_path / "made" / name
    stats.write(path, moments, format)
    found = stats.read(path)
    np.testing.assert_array_equal(found.mean, moments.mean)
    np.testing.assert_array_equal(found.covariance, moments.covariance)
    assert (found.num, found.protocol) == (500, PROTOCOL)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_the_tools_find_what_they_look_for(moments, tmp_path):
    for name in ("a.npz", "a.pkl", "a.pt"):
        stats.write(tmp_path / name, moments)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:  # pytorch-fid, EDM
        assert file["mu"][:].dtype == file["sigma"][:].dtype == np.float64
        assert all(isinstance(file[name], np.ndarray) for name in file.files)
    edm2 = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert edm2["num_images"] == 500
    np.testing.assert_array_equal(edm2["fid"]["sigma"], moments.covariance)
    ours, theirs = (
        zipfile.ZipFile(path)
        for path in (tmp_path / "a.pt", FILES / "mydata-inception-v3-compat-stat-fid-2048.pt")
    )
    for name in ("archive/version", "archive/byteorder"):
        assert ours.read(name) == theirs.read(name)
    assert {member.compress_type for member in ours.infolist()} == {zipfile.ZIP_STORED}
    dictionary = pickle.loads(ours.read("archive/data.pkl"))
    np.testing.assert_array_equal(dictionary["mu"], moments.mean)


def test_edm2s_format_has_several_kinds(moments, tmp_path):
    other = metrics.Moments(np.zeros(2), np.eye(2), 500)
    stats.write(tmp_path / "a.pkl", {"fid": moments, "fd_dinov2": other})
    assert len(stats.read(tmp_path / "a.pkl", "fd_dinov2").mean) == 2
    assert stats.read(tmp_path / "a.pkl").protocol == PROTOCOL
    with pytest.raises(UsageError, match="edm2 has several"):
        stats.write(tmp_path / "a.npz", {"fid": moments, "fd_dinov2": other})
    with pytest.raises(UsageError, match="as many images"):
        stats.write(tmp_path / "b.pkl", {"fid": moments, "x": metrics.Moments([0], [[1]], 3)})


def test_a_pair_is_written_without_what_is_not_known(tmp_path):
    stats.write(tmp_path / "a.npz", (np.zeros(2), np.eye(2)))
    found = stats.read(tmp_path / "a.npz")
    assert (found.num, found.protocol) == (None, None)


def test_features_are_written_as_score_sdes(tmp_path):
    stats.write_features(tmp_path / "a.npz", ARRAYS["gen"], ARRAYS["logits10"], PROTOCOL)
    found = stats.read(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.features, ARRAYS["gen"])
    np.testing.assert_array_equal(found.logits, ARRAYS["logits10"])
    assert found.protocol == PROTOCOL
    with pytest.raises(UsageError, match="as many logits as features"):
        stats.write_features(tmp_path / "b.npz", ARRAYS["gen"], ARRAYS["logits10"][1:])


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(moments, tmp_path):
    path = tmp_path / "a.npz"
    stats.write(path, moments)
    other = metrics.Moments(moments.mean + 1, moments.covariance)
    with pytest.raises(UsageError, match=r"is there already; .* overwrite=True"):
        stats.write(path, other)
    with pytest.raises(UsageError, match="is there already"):
        stats.write_features(path, ARRAYS["gen"])
    np.testing.assert_array_equal(stats.read(path).mean, moments.mean)
    stats.write(path, other, overwrite=True)
    np.testing.assert_array_equal(stats.read(path).mean, other.mean)


@pytest.mark.parametrize(
    "name, statistics, format, words",
    [
        ("a.txt", (np.zeros(2), np.eye(2)), None, "must end in .npz, .pkl, .pt, or be given"),
        ("a.npz", (np.zeros(2), np.eye(2)), "torch", "Unknown format of statistics 'torch'"),
        ("a.npz", np.zeros(2), None, "must be Moments"),
        ("a.npz", (np.zeros(2), np.eye(3)), None, "got the shapes"),
        ("a.npz", (np.zeros(2), np.full((2, 2), np.nan)), None, "NaN"),
        ("a.npz", metrics.Moments([0], [[1]], 3, {"x": np.eye(2)}), None, "dictionary of numbers"),
        (".", (np.zeros(2), np.eye(2)), "edm", "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    name, statistics, format, words, tmp_path
):
    with pytest.raises(UsageError, match=words):
        stats.write(tmp_path / name, statistics, format)
    assert list(tmp_path.iterdir()) == []


def test_statistics_of_other_features_are_refused():
    def of(length=2, **protocol):
        return metrics.Moments(np.zeros(length), np.eye(length), 10, protocol or None)

    stats.refuse_other_features(of(**PROTOCOL), of(**PROTOCOL))
    stats.refuse_other_features(of(**PROTOCOL), of())  # a published file, which says nothing
    stats.refuse_other_features(of(size=(299, 299)), of(size=[299, 299], seed=1))
    with pytest.raises(UsageError, match="resize is 'tf1' in one and 'clean' in the other"):
        stats.refuse_other_features(of(**PROTOCOL), of(**{**PROTOCOL, "resize": "clean"}))
    with pytest.raises(UsageError, match="2 and 3 numbers"):
        stats.refuse_other_features(of(), of(3))


def test_a_protocol_that_is_none_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", mu=np.zeros(2), sigma=np.eye(2), protocol=np.array("[1]"))
    with pytest.raises(UsageError, match=r"protocol that is no JSON object: '\[1\]'"):
        stats.read(tmp_path / "a.npz")
