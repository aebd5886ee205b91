"""The reader of PyTorch's files: what it reads, and that it runs nothing."""

import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

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
    def write(opcodes, **storages):
        path = tmp_path / "file.pth"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("file/data.pkl", b"\x80\x02" + opcodes + b".")
            for key, array in storages.items():
                archive.writestr(f"file/data/{key}", array.tobytes())
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


@pytest.mark.parametrize(
    "module, attribute",
    [("os", "system"), ("builtins", "eval"), ("posix", "system"), ("scoresde.registry", "make")],
)
def test_nothing_that_a_file_names_is_called(write, tmp_path, module, attribute):
    target = tmp_path / "proof"
    call = name(module, attribute) + b"(" + value(f"touch {target}") + b"tR"
    with pytest.raises(UsageError, match=f"would call {module}.{attribute}"):
        torch_file.read(write(dictionary(model=call)))
    assert not target.exists()


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
