"""The reader of PyTorch's files: what it reads, and that it runs nothing."""

import os
import pickle
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest

from scoresde import pretrained
from scoresde.pretrained import torch_file
from scoresde.registry import UsageError


def value(obj):
    """The opcodes that push a plain object."""
    return pickle.dumps(obj, protocol=0)[:-1]


def name(module, attribute):
    """The opcode that pushes a global."""
    return f"c{module}\n{attribute}\n".encode()


def tensor(key, storage, offset, shape, strides):
    """The opcodes that PyTorch writes for a tensor."""
    identifier = b"(" + value("storage") + name("torch", storage) + value(key) + value("cpu")
    identifier += value(0) + b"tQ"
    arguments = identifier + value(offset) + value(shape) + value(strides) + value(False)
    arguments += name("collections", "OrderedDict") + b")R"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def dictionary(**items):
    return b"}" + b"".join(value(key) + opcodes + b"s" for key, opcodes in items.items())


@pytest.fixture
def write(tmp_path):
    def write(opcodes, protocol=2, root="file", compression=zipfile.ZIP_STORED, **storages):
        path = tmp_path / "file.pth"
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr(f"{root}/data.pkl", b"\x80" + bytes([protocol]) + opcodes + b".")
            for key, array in storages.items():
                archive.writestr(f"{root}/data/{key}", array.tobytes())
        return path

    return write


def test_tensors_have_their_type_place_and_order(write):
    numbers = np.arange(24, dtype=np.float32)
    half = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    content = torch_file.read(
        write(
            dictionary(
                plain=tensor("a", "FloatStorage", 0, (2, 3, 4), (12, 4, 1)),
                view=tensor("a", "FloatStorage", 5, (4, 2), (1, 4)),
                scalar=tensor("a", "FloatStorage", 7, (), ()),
                empty=tensor("a", "FloatStorage", 0, (0, 3), (3, 1)),
                half=tensor("b", "BFloat16Storage", 0, (2,), (1,)),
                step=value(7),
            ),
            a=numbers,
            b=half,
        )
    )
    np.testing.assert_array_equal(content["plain"], numbers.reshape(2, 3, 4))
    np.testing.assert_array_equal(content["view"], [[5, 9], [6, 10], [7, 11], [8, 12]])
    assert np.asarray(content["scalar"]) == 7
    assert np.asarray(content["empty"]).shape == (0, 3)
    np.testing.assert_array_equal(np.asarray(content["half"], np.float32), [1.5, -2.0])
    assert content["step"] == 7


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


def text(string):
    """The opcode of protocol 4 that pushes a string."""
    return b"\x8c" + bytes([len(string)]) + string.encode()


CALLS = {
    "reduce": lambda module, function, argument: (
        name(module, function) + b"(" + value(argument) + b"tR"
    ),
    "stack global": lambda module, function, argument: (
        text(module) + text(function) + b"\x93" + value(argument) + b"\x85R"
    ),
    "instance": lambda module, function, argument: (
        b"(" + value(argument) + f"i{module}\n{function}\n".encode()
    ),
    "object": lambda module, function, argument: (
        b"(" + name(module, function) + value(argument) + b"o"
    ),
    "new object": lambda module, function, argument: (
        name(module, function) + value(argument) + b"\x85\x81"
    ),
    "new object with keywords": lambda module, function, argument: (
        name(module, function) + value(argument) + b"\x85}\x92"
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "module, function",
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("__builtin__", "exec"),
        ("subprocess", "run"),
        ("scoresde.registry", "make"),
    ],
)
def test_nothing_that_a_file_names_is_called(write, tmp_path, call, module, function):
    target = tmp_path / "proof"
    argument = f"touch {target}" if "sys" in module + function else f"open({str(target)!r}, 'w')"
    path = write(dictionary(model=call(module, function, argument)), protocol=4)
    with pytest.raises(UsageError, match=f"would call {module}.{function}"):
        torch_file.read(path)
    assert not target.exists()


def test_the_attack_works_on_pickle_itself(tmp_path):
    """Or the test above would prove nothing."""
    for number, call in enumerate(CALLS.values()):
        if number < 4:  # a function is no class, which the others need
            target = tmp_path / f"proof{number}"
            pickle.loads(b"\x80\x04" + call("os", "system", f"touch {target}") + b".")
            assert target.exists()


@pytest.mark.parametrize(
    "attribute",
    ["system", "path.join", "__class__.__base__", "OrderedDict.fromkeys", "abc.sys.modules"],
)
def test_names_inside_of_allowed_packages_lead_nowhere(write, tmp_path, attribute):
    target = tmp_path / "proof"
    for module in ("torch", "numpy", "collections", "torch.os", "numpy.f2py.os"):
        call = CALLS["stack global"](module, attribute, f"touch {target}")
        content = torch_file.read(write(dictionary(model=call), protocol=4))
        assert type(content["model"]) is torch_file.Inert
    assert not target.exists()


@pytest.mark.parametrize(
    "victim",
    {
        "tensor": tensor("a", "FloatStorage", 0, (1,), (1,)),
        "storage": b"(" + value("storage") + name("torch", "FloatStorage") + value("a") + b"tQ",
        "function": name("torch._utils", "_rebuild_tensor_v2"),
        "type of elements": name("torch", "FloatStorage"),
        "class": name("__builtin__", "dict"),
        "tuple": b")",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_file_cannot_alter_what_it_is_read_with(write, victim):
    """BUILD writes attributes, past `frozen`; through them a file could read other files."""
    before = vars(torch_file).copy(), np.dtype("<f4").str
    for state in (
        dictionary(offset=value(7), archive=value("/etc/passwd"), shape=value((9,))),
        b"N" + dictionary(offset=value(7), __defaults__=value((1,))) + b"\x86",
        value((3, ">", None, None, None, -1, -1, 0)),
    ):
        path = write(victim[1] + state + b"b", a=np.zeros(1, np.float32))
        with pytest.raises(UsageError):
            torch_file.read(path)
    assert (vars(torch_file), np.dtype("<f4").str) == before


def test_attributes_of_state_dicts_are_dropped(write):
    """PyTorch's own state dicts have `_metadata`; another's might replace `items`."""
    state = dictionary(_metadata=dictionary(), items=name("torch", "Inert"), keys=value(3))
    content = torch_file.read(write(name("collections", "OrderedDict") + b")R" + state + b"b"))
    assert content == {} and not hasattr(content, "_metadata")
    assert list(content.items()) == []


def test_a_few_bytes_are_not_a_huge_array(write):
    huge = 10**7
    for shape, strides in (((huge, huge), (0, 0)), ((huge,), (0,)), ((2,), (0,))):
        path = write(tensor("a", "FloatStorage", 0, shape, strides), a=np.zeros(1, np.float32))
        with pytest.raises(UsageError, match="beyond its storage"):
            np.asarray(torch_file.read(path))


@pytest.mark.parametrize(
    "opcodes",
    [
        b"\x8e" + struct.pack("<Q", 2**62),  # bytes
        b"\x96" + struct.pack("<Q", 2**62),  # a byte array
        b"\x8d" + struct.pack("<Q", 2**62),  # a string
        b"\x8b" + struct.pack("<I", 2**31 - 1),  # an integer
        b"\x95" + struct.pack("<Q", 2**62),  # a frame
    ],
)
def test_lengths_that_lie_are_refused(write, opcodes):
    with pytest.raises(UsageError, match="is damaged"):
        torch_file.read(write(opcodes, protocol=5))


def test_the_memo_cannot_take_all_memory(write):
    for put in (b"r" + struct.pack("<I", 2**32 - 1), b"p4000000000\n"):
        with pytest.raises(UsageError, match="too many objects"):
            torch_file.read(write(b"}" + put))


def test_compressed_members_are_refused(write):
    """A zip bomb: ten megabytes in ten kilobytes."""
    with pytest.raises(UsageError, match="is compressed"):
        torch_file.read(write(b"}" + b"0}" * 10**6, compression=zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(write(tensor("a", "ByteStorage", 0, (9,), (1,))), "a") as archive:
        archive.writestr("file/data/a", bytes(10**7), zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match="is compressed"):
        np.asarray(torch_file.read(archive.filename))


def test_storages_that_are_shorter_than_they_say_are_refused(write):
    path = write(tensor("a", "FloatStorage", 0, (256,), (1,)), a=np.zeros(256, np.float32))
    content = path.read_bytes()
    assert content.count(struct.pack("<II", 1024, 1024)) == 2  # in both of the zip's headers
    path.write_bytes(
        content.replace(struct.pack("<II", 1024, 1024), struct.pack("<II", *[2**31] * 2))
    )
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
        (value(0), name("torch", "Size") + b")R" + value((1,)) + b"\x85", value((1,))),
    ],
)
def test_a_tensors_place_must_be_numbers(write, arguments):
    storage = b"(" + value("storage") + name("torch", "FloatStorage") + value("a") + b"tQ"
    opcodes = name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + b"".join(arguments)
    with pytest.raises(UsageError):
        torch_file.read(write(opcodes + b"tR", a=np.zeros(4, np.float32)))


def test_other_objects_than_weights_are_refused(write, golden):
    config = golden("torch_checkpoint_ve").config
    inert = name("torch.nn", "Module") + b")R"
    for content, message in (
        (inert, "does not hold named arrays"),
        (dictionary(model=inert), "is no state dict"),
        (dictionary(**{"all_modules.0.W": inert, "evil": value(1)}), "unexpected evil"),
    ):
        with pytest.raises(UsageError, match=message):
            pretrained.load_score_sde_pytorch(write(content), config)


def test_other_classes_of_pytorch_become_inert(write):
    opcodes = name("torch.optim.adam", "Adam") + b"(" + value("anything") + b"tR"
    opcodes += dictionary(state=value(1)) + b"b"
    content = torch_file.read(write(dictionary(optimizer=opcodes, step=value(3))))
    assert content["step"] == 3
    assert isinstance(content["optimizer"], torch_file.Inert)
    assert not vars(content["optimizer"])


def test_other_files_are_refused(write, tmp_path):
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"model": 1}))
    with pytest.raises(UsageError, match=r"before PyTorch 1\.6"):
        torch_file.read(tmp_path / "old.pth")
    with pytest.raises(UsageError, match="No file"):
        torch_file.read(tmp_path / "absent.pth")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(UsageError, match="not of PyTorch's tensors"):
        torch_file.read(tmp_path / "other.zip")
    with pytest.raises(UsageError, match="is damaged"):
        torch_file.read(write(b"}" + b"\xff"))
