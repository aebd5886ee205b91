"""The reader of PyTorch's files: the values of what it reads, and what it refuses."""

import io
import os
import pathlib
import pickle
import struct
import tarfile
import zipfile

import ml_dtypes
import numpy as np
import pytest

from scoresde.pretrained import torch_file
from scoresde.pretrained.stand_ins import StandIn, contents
from scoresde.registry import UsageError
from tests.pretrained import opcodes as op
from tests.pretrained.opcodes import dictionary, name, tensor, value

FILES = pathlib.Path(__file__).parent.parent / "data" / "torch_files"


@pytest.fixture
def write(tmp_path):
    """`write(opcodes, **options)` writes a zip archive."""
    return lambda *arguments, **options: op.zip_file(tmp_path / "file.pth", *arguments, **options)


def at(content, path):
    """What is at a path of keys and numbers."""
    for key in path.split("/")[1:]:
        content = (
            content[key] if isinstance(content, dict) and key in content else content[int(key)]
        )
    return content


@pytest.mark.parametrize("path", sorted(FILES.glob("*.pth")), ids=lambda path: path.stem)
def test_values_are_those_that_pytorch_reads(path):
    """All types, views, formats and protocols; see tests/data/torch_files/make.py."""
    content = torch_file.read(path)
    with np.load(FILES / f"{path.stem.partition('_')[0]}.npz") as expected:
        for place, array in expected.items():
            found = np.asarray(at(content, place))
            if found.dtype.name.startswith(("bfloat", "float8")):
                found = found.astype(np.float32)
            assert found.dtype == array.dtype.newbyteorder("="), place
            np.testing.assert_array_equal(found, array, err_msg=place)


@pytest.mark.parametrize("path", sorted(FILES.glob("python_*.pth")), ids=lambda path: path.stem)
def test_objects_of_python_are_read_or_stood_in_for(path):
    content = torch_file.read(path)
    assert content["bytes"] == bytes(range(256)) and content["no_bytes"] == b""
    assert content["bytearray"] == bytearray(b"abc\xff")
    assert content["ordered"] == {"a": 1} and content["default"] == {"a": [1]}
    assert content["counter"] == {"a": 2, "b": 1} and content["complex"] == 1 + 2j
    assert content["set"] == {1, 2} and content["frozen"] == {3} and content["size"] == (2, 3)
    assert contents(content["namespace"])["lr"] == 2e-4
    assert content["deque"].elements == [1, 2]
    assert len(content["by_class"]) == 2
    for key in ("partial", "path", "time", "stage", "flags", "callback", "method", "slots", "id"):
        assert isinstance(content[key], StandIn), key
    np.testing.assert_array_equal(contents(content["slots"])["weight"], [0, 1, 2])


@pytest.mark.parametrize("path", sorted(FILES.glob("random_*.pth")), ids=lambda path: path.stem)
def test_states_of_random_generators_are_read_or_stood_in_for(path):
    content = torch_file.read(path)
    assert content["python"][0] == 3 and len(content["python"][1]) == 625
    expected = np.random.RandomState(0).get_state()
    assert content["legacy"][0] == expected[0]
    np.testing.assert_array_equal(content["legacy"][1], expected[1])
    for key in ("python_object", "legacy_object", "generator", "seeds"):
        assert isinstance(content[key], StandIn), key


@pytest.mark.parametrize("suffix", ["zip", "old"])
def test_numbers_of_numpy_are_numbers(suffix):
    content = torch_file.read(FILES / f"training_{suffix}.pth")
    assert content["step"] == 1234 and isinstance(content["step"], np.int64)
    (base,) = content["schedulers"][0]["base_lrs"]
    assert base == 2e-4 and isinstance(base, np.float64)
    content = torch_file.read(FILES / f"numpy_{suffix}.pth")
    for key in ("string", "strings", "date", "object", "record", "masked"):
        assert isinstance(content[key], StandIn) and not hasattr(content[key], "shape"), key


@pytest.mark.parametrize("package", ["core", "_core"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numpy_moved_its_functions(write, package, order):
    dtype = op.call("numpy", "dtype", value("f8"), value(False), value(True))
    dtype += value((3, order, None, None, None, -1, -1, 0)) + b"b"
    number = np.array([2.5, -1.0], f"{order}f8")
    place = f"numpy.{package}.multiarray"
    scalar = op.call(place, "scalar", dtype, op.encoded(number[:1].tobytes()))
    array = op.call(place, "_reconstruct", name("numpy", "ndarray"), value((0,)), op.encoded(b"b"))
    state = b"(" + value(1) + value((2,)) + dtype + value(False) + op.encoded(number.tobytes())
    content = torch_file.read(write(dictionary(scalar=scalar, array=array + state + b"tb")))
    assert content["scalar"] == 2.5
    np.testing.assert_array_equal(content["array"], number)


@pytest.mark.parametrize(
    "kind, shape, raw",
    [
        ("f8", (3,), bytes(16)),
        ("f8", (-2, -1), bytes(16)),
        ("V8", (2,), bytes(16)),
        ("O", (2,), b""),
    ],
)
def test_arrays_that_are_none_of_numbers_have_no_shape(write, kind, shape, raw):
    dtype = op.call("numpy", "dtype", value(kind), value(False), value(True))
    array = op.call("numpy._core.multiarray", "_reconstruct", name("numpy", "ndarray"))
    state = b"(" + value(1) + value(shape) + dtype + value(False) + op.encoded(raw) + b"tb"
    found = torch_file.read(write(array + state))
    assert not hasattr(found, "shape")
    with pytest.raises(UsageError, match="not one of numbers"):
        np.asarray(found)


@pytest.mark.parametrize("suffix", ["zip", "old"])
def test_a_file_is_opened_once(tmp_path, suffix):
    """A thousand tensors took half a minute; a file that is gone can't be opened again."""
    path = tmp_path / "file.pth"
    path.write_bytes((FILES / f"tensors_{suffix}.pth").read_bytes())
    content = torch_file.read(path)
    path.unlink()
    np.testing.assert_array_equal(content["shared"][1], np.arange(8, 24).reshape(4, 4))


def test_bytes_of_a_zip_archive_have_the_order_that_it_names(write):
    arrays = {"f": np.float32([1.5, 2]), "c": np.complex64([1 + 2j]), "b": np.uint8([7])}
    kinds = {"f": "FloatStorage", "c": "ComplexFloatStorage", "b": "ByteStorage"}
    opcodes = dictionary(**{key: tensor(key, kinds[key], 0, (1,), (1,)) for key in arrays})
    for order in "<>":
        written = {
            key: array.astype(array.dtype.newbyteorder(order)) for key, array in arrays.items()
        }
        named = {"<": b"little", ">": b"big"}[order]
        content = torch_file.read(write(opcodes, byteorder=named, **written))
        for key, array in arrays.items():
            np.testing.assert_array_equal(content[key], array[:1])


def test_bytes_of_the_old_format_are_little_endian_on_every_machine(tmp_path):
    """PyTorch swaps them when it writes, and does not look at what the file says of the machine."""
    opcodes = tensor("7", "FloatStorage", 1, (2,), (1,), b"N")
    numbers = np.arange(3, dtype="<f4")
    for little_endian in (True, False):
        path = tmp_path / "file.pth"
        op.plain_file(path, opcodes, little_endian=little_endian, **{"7": numbers})
        np.testing.assert_array_equal(torch_file.read(path), [1, 2])


def test_storages_of_the_old_format_may_be_parts_of_others(tmp_path):
    part = b"(" + value("9") + value(2) + value(3) + b"t"
    opcodes = dictionary(
        part=tensor("7", "FloatStorage", 1, (2,), (1,), part),
        whole=tensor("7", "FloatStorage", 0, (6,), (1,), b"N"),
    )
    numbers = np.arange(6, dtype="<f4")
    content = torch_file.read(op.plain_file(tmp_path / "file.pth", opcodes, **{"7": numbers}))
    np.testing.assert_array_equal(content["part"], [3, 4])
    np.testing.assert_array_equal(content["whole"], numbers)
    opcodes = tensor("7", "FloatStorage", 1, (3,), (1,), part)
    content = torch_file.read(op.plain_file(tmp_path / "file.pth", opcodes, **{"7": numbers}))
    with pytest.raises(UsageError, match="beyond its storage"):
        np.asarray(content)


@pytest.mark.parametrize(
    "offset, shape, strides", [(20, (5,), (1,)), (-1, (2,), (1,)), (3, (2,), (-1,))]
)
def test_tensors_outside_of_their_storage_are_refused(write, offset, shape, strides):
    path = write(
        dictionary(w=tensor("a", "FloatStorage", offset, shape, strides)),
        a=np.arange(24, dtype=np.float32),
    )
    content = torch_file.read(path)
    with pytest.raises(UsageError, match="beyond its storage"):
        np.asarray(content["w"])


def test_a_few_bytes_are_not_a_huge_array(write):
    huge = 10**7
    for shape, strides in (((huge, huge), (0, 0)), ((huge,), (0,)), ((500,), (0,))):
        path = write(tensor("a", "FloatStorage", 0, shape, strides), a=np.zeros(1, np.float32))
        with pytest.raises(UsageError, match="beyond its storage"):
            np.asarray(torch_file.read(path))
    path = write(tensor("a", "FloatStorage", 0, (0, 2**62), (1, 1)), a=np.zeros(1, np.float32))
    with pytest.raises(UsageError, match="impossible shape"):
        np.asarray(torch_file.read(path))


def test_compressed_members_are_refused(write):
    """A zip bomb: ten megabytes in ten kilobytes."""
    with pytest.raises(UsageError, match="is compressed"):
        torch_file.read(write(b"}" + b"0}" * 10**6, compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(write(tensor("a", "ByteStorage", 0, (9,), (1,))), "a") as archive:
        archive.writestr("file/data/a", bytes(10**7), zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match="is compressed"):
        np.asarray(torch_file.read(archive.filename))


def test_storages_that_are_not_as_they_were_written_are_refused(write):
    path = write(tensor("a", "FloatStorage", 0, (256,), (1,)), a=np.zeros(256, np.float32))
    content = path.read_bytes()
    assert content.count(struct.pack("<II", 1024, 1024)) == 2  # in both of the zip's headers
    for change in (struct.pack("<II", *[2**31] * 2), struct.pack("<II", *[4] * 2)):
        path.write_bytes(content.replace(struct.pack("<II", 1024, 1024), change))
        with pytest.raises(UsageError, match="is damaged"):
            np.asarray(torch_file.read(path))
    path.write_bytes(content.replace(bytes(1024), bytes(1000) + b"\1" + bytes(23)))
    with pytest.raises(UsageError, match="is damaged"):
        np.asarray(torch_file.read(path))
    absent = torch_file.read(write(tensor("b", "FloatStorage", 0, (1,), (1,))))
    with pytest.raises(UsageError, match="is damaged"):
        np.asarray(absent)


@pytest.mark.parametrize("root", ["a/b/c", "..", "/etc", "../../etc"])
def test_paths_in_the_archive_are_only_names(write, tmp_path, root):
    before = sorted(os.listdir(tmp_path))
    path = write(tensor("../x", "FloatStorage", 0, (1,), (1,)), root=root)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{root}/data/../x", np.ones(1, np.float32).tobytes())
    np.testing.assert_array_equal(torch_file.read(path), [1.0])
    assert sorted(os.listdir(tmp_path)) == sorted({*before, "file.pth"})


@pytest.mark.parametrize(
    "arguments",
    [
        (value(0), value((2,)), value((1, 1))),
        (value(0), value(("2",)), value((1,))),
        (value(0.5), value((1,)), value((1,))),
        (value(0), value(3), value((1,))),
        (value(0), name("torch", "Size") + b")R" + value((1,)) + b"\x85", value((1,))),
    ],
)
def test_a_tensors_place_must_be_numbers(write, arguments):
    opcodes = op.call(
        "torch._utils", "_rebuild_tensor_v2", op.storage("a", "FloatStorage"), *arguments
    )
    with pytest.raises(UsageError):
        torch_file.read(write(opcodes, a=np.zeros(4, np.float32)))


def test_types_that_numpy_lacks_can_stand_beside_the_weights(write):
    """Quantized tensors, for one; only asking for their values is refused."""
    quantized = op.call("torch._utils", "_rebuild_qtensor", op.storage("a", "QInt8Storage"))
    content = torch_file.read(write(dictionary(q=quantized, step=value(3)), a=np.zeros(4, np.int8)))
    assert isinstance(content["q"], StandIn) and content["step"] == 3


def test_tensors_of_other_versions_and_classes(write):
    """Before PyTorch 0.4, with attributes, and from accelerators."""
    storage = op.storage("a", "FloatStorage")
    place = value(1) + value((2,)) + value((1,))
    arguments = b"(" + storage + place + value(False) + b"}" + b"t"
    function, cls = name("torch._utils", "_rebuild_tensor_v2"), name("torch", "Tensor")
    dtype = op.call("numpy", "dtype", value("f4"), value(False), value(True))
    array = op.call("numpy.core.multiarray", "_reconstruct", name("numpy", "ndarray"))
    raw = op.encoded(np.float32([1, 2]).tobytes())
    array += b"(" + value(1) + value((2,)) + dtype + value(False) + raw + b"tb"
    opcodes = dictionary(
        first=op.call("torch._utils", "_rebuild_tensor", storage, place),
        subclass=op.call("torch._tensor", "_rebuild_from_type_v2", function, cls, arguments, b"}"),
        xla=op.call("torch._utils", "_rebuild_device_tensor_from_numpy", array, value("xla")),
    )
    content = torch_file.read(write(opcodes, a=np.arange(3, dtype=np.float32)))
    assert len(content) == 3
    for found in content.values():
        assert found.shape == (2,)
        np.testing.assert_array_equal(found, [1, 2])


def test_halves_of_brain_floats_are_theirs(write):
    half = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    found = torch_file.read(write(tensor("b", "BFloat16Storage", 0, (2,), (1,)), b=half))
    np.testing.assert_array_equal(np.asarray(found, np.float32), [1.5, -2.0])


def test_other_files_are_refused(write, tmp_path):
    with pytest.raises(UsageError, match="No file"):
        torch_file.read(tmp_path / "absent.pth")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("checkpoint_8.pth", "hello")
    with pytest.raises(UsageError, match=r"not of PyTorch's tensors; it holds checkpoint_8\.pth"):
        torch_file.read(tmp_path / "other.zip")
    with pytest.raises(UsageError, match="is damaged"):
        torch_file.read(write(b"}" + b"\xff"))
    (tmp_path / "other.pth").write_bytes(b"\x93NUMPY and so on")
    with pytest.raises(UsageError, match=r"no file of torch\.save's"):
        torch_file.read(tmp_path / "other.pth")
    content = b"".join(pickle.dumps(part) for part in (op.MAGIC, 1002, {}))
    (tmp_path / "other.pth").write_bytes(content)
    with pytest.raises(UsageError, match=r"version of torch\.save that is not known"):
        torch_file.read(tmp_path / "other.pth")


def test_files_of_before_there_was_a_format_are_named(tmp_path):
    """PyTorch before 0.1.10 wrote tar archives."""
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        for member in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(member), io.BytesIO())
    with pytest.raises(UsageError, match=r"before 0\.1\.10.*save its state dict"):
        torch_file.read(tmp_path / "old.pth")


@pytest.mark.parametrize("suffix", ["zip", "old"])
def test_a_file_that_is_cut_off_anywhere_is_refused_in_one_line(tmp_path, suffix):
    whole = (FILES / f"training_{suffix}.pth").read_bytes()
    for length in [*range(1, len(whole), len(whole) // 40), len(whole) - 1]:
        path = tmp_path / "file.pth"
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError, match=r"is cut off|is text|is no file of torch") as error:
            torch_file.read(path)
        assert "\n" not in str(error.value) and len(str(error.value)) < 300 + len(str(path))


def test_a_plain_pickle_of_arrays_is_read(tmp_path):
    """Scripts that leave PyTorch behind write the arrays by pickle itself."""
    arrays = {"w": np.arange(6.0).reshape(2, 3)}
    for protocol in (2, 3, 4, 5):
        (tmp_path / "file.pth").write_bytes(pickle.dumps(arrays, protocol))
        np.testing.assert_array_equal(torch_file.read(tmp_path / "file.pth")["w"], arrays["w"])


def test_tensors_of_pickle_dump_are_called_what_they_are(tmp_path):
    content = op.call("torch.storage", "_load_from_bytes", op.encoded(b"a file of its own"))
    path = tmp_path / "file.pth"
    path.write_bytes(b"\x80\x02" + dictionary(w=content) + b".")
    with pytest.raises(UsageError, match=r"written by pickle\.dump.* write it by torch\.save"):
        torch_file.read(path)
