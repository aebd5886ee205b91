"""Files in a checkpoint's place are called what they are, in one line, by every reader."""

import gzip
import tarfile
import zipfile

import numpy as np
import pytest

from scoresde.pretrained import array_file, flax_file, torch_file
from scoresde.registry import UsageError
from tests.pretrained import opcodes as op

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 244028643\n"
PAGE = b"\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head>"
DENIED = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message>'

KINDS = {
    "empty": (b"", "is empty"),
    "zeros": (bytes(5000), "begins with zeros alone"),
    "page": (PAGE, r"is an HTML page \(Google Drive - Virus scan warning\)"),
    "page without a title": (b"<html>\n<body>" + b"x" * 9000, "is an HTML page saved"),
    "page in XML": (b'<?xml version="1.0"?><!DOCTYPE html><p>', "is an HTML page"),
    "page with a byte order mark": (b"\xef\xbb\xbf" + PAGE, "is an HTML page"),
    "page in UTF-16": (PAGE.decode().encode("utf-16"), "is an HTML page"),
    "answer": (DENIED, r"is a server's answer in XML \(AccessDenied\)"),
    "LFS": (POINTER, "is a git-LFS pointer, not the file of 244028643 bytes"),
    "annex": (b"../.git/annex/objects/aa/bb/SHA256-s9--0/SHA256-s9--0", "is a git-annex pointer"),
    "JSON": (b'{"error": "quota exceeded"}', "is text, which begins with .*quota"),
    "text": (b"404: Not Found", "is text, which begins with '404: Not Found'"),
    "other text": ("Zugriff verweigert: Größe".encode(), "is text"),
    "gzip": (gzip.compress(bytes(100)), r"is compressed \(gzip\)"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), r"is a picture \(PNG\)"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
    "half a zip archive": (b"PK\x03\x04" + bytes(300), "is cut off after 304 bytes"),
}

READERS = {
    "weights.pth": torch_file.read,
    "weights.npz": array_file.read,
    "weights.safetensors": array_file.read,
    "weights": flax_file.read,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", READERS)
def test_other_files_are_called_what_they_are(tmp_path, kind, name):
    content, message = kind
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message) as error:
        READERS[name](tmp_path / name)
    assert "\n" not in str(error.value) and len(str(error.value)) < len(str(tmp_path)) + 250


def test_archives_of_checkpoints_and_folders_are_named(tmp_path):
    (tmp_path / "checkpoint_8.pth").write_bytes(b"hello")
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked/data.pkl").write_bytes(b"")
    with tarfile.open(tmp_path / "weights.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "checkpoint_8.pth", "checkpoint_8.pth")
    with tarfile.open(tmp_path / "weights.tar", "w") as archive:
        archive.add(tmp_path / "checkpoint_8.pth", "checkpoint_8.pth")
    for name, message in (
        ("weights.tar", r"is a tar archive; it holds checkpoint_8\.pth"),
        ("weights.tar.gz", r"is compressed \(gzip\)"),
        (".", "is a folder, not"),
        ("unpacked", "is an archive of PyTorch's that was unpacked"),
    ):
        with pytest.raises(UsageError, match=message):
            torch_file.read(tmp_path / name)


def test_a_state_dict_is_read_whatever_its_name_ends_in(tmp_path):
    """Downloads lose their names, and people rename."""
    array = np.arange(4.0, dtype=np.float32)
    np.savez(tmp_path / "weights.npz", w=array)
    op.zip_file(
        tmp_path / "torch.pth",
        op.dictionary(w=op.tensor("a", "FloatStorage", 0, (4,), (1,))),
        a=array,
    )
    header = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    # A header's length may look like any file's beginning.
    for length in (len(header), 0x223C, 0x8B1F, 0x227B, 0x0280, 0x4B50):
        content = length.to_bytes(8, "little") + header.ljust(length) + array.tobytes()
        (tmp_path / f"{length}.safetensors").write_bytes(content)
    for path in sorted(tmp_path.iterdir()):
        for suffix in (".pth", ".pt", ".ckpt", ".bin", ".npz", ".pth.tar", ""):
            renamed = tmp_path / f"renamed{suffix}"
            renamed.write_bytes(path.read_bytes())
            np.testing.assert_array_equal(array_file.read(renamed)["w"], array)


def test_files_that_are_cut_off_are_said_to_be(tmp_path):
    header = b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    whole = len(header).to_bytes(8, "little") + header + bytes(16)
    for length in (20, len(whole) - 1):
        (tmp_path / "weights.safetensors").write_bytes(whole[:length])
        with pytest.raises(UsageError, match="is cut off"):
            array_file.read(tmp_path / "weights.safetensors")
    (tmp_path / "weights").write_bytes(b"\x82\xa4step\x01\xaaparams_ema\x81\xa1w\xc5\x10")
    with pytest.raises(UsageError, match="cut off"):
        flax_file.read(tmp_path / "weights")
    with zipfile.ZipFile(tmp_path / "weights.npz", "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY")
    with pytest.raises(UsageError, match="is damaged") as error:
        array_file.read(tmp_path / "weights.npz")
    assert "\n" not in str(error.value)


def test_one_array_without_a_name_is_refused(tmp_path):
    np.save(tmp_path / "weights.npy", np.zeros(3))
    with pytest.raises(UsageError, match=r"one array without a name.*numpy\.savez"):
        array_file.read(tmp_path / "weights.npy")


def test_a_file_of_pytorchs_that_is_called_pkl_is_read(tmp_path):
    opcodes = op.dictionary(w=op.tensor("a", "FloatStorage", 0, (4,), (1,), b"N"))
    array = np.arange(4.0, dtype=np.float32)
    for write in (op.zip_file, op.plain_file):
        path = write(tmp_path / "weights.pkl", opcodes, a=array)
        np.testing.assert_array_equal(array_file.read(path)["w"], array)
