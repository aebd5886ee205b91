"""The unpickler: nothing that a file names is run, whatever it names and however it calls it."""

import pickle
import struct

import numpy as np
import pytest

from scoresde.pretrained import torch_file
from scoresde.pretrained.stand_ins import MAX_NAMES, StandIn, contents
from scoresde.registry import UsageError
from tests.pretrained import opcodes as op
from tests.pretrained.opcodes import dictionary, name, tensor, text, value


@pytest.fixture(params=[op.zip_file, op.plain_file], ids=["zip", "plain"])
def write(request, tmp_path):
    """`write(opcodes, **options)` writes a file of either format."""
    return lambda *arguments, **options: request.param(tmp_path / "file.pth", *arguments, **options)


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
        ("io", "open"),
        ("pickle", "loads"),
        ("scoresde.registry", "make"),
    ],
)
def test_what_is_for_running_things_is_refused(write, tmp_path, call, module, function):
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


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "module, function",
    [
        ("pathlib", "Path.touch"),
        ("numpy", "fromfile"),
        ("numpy.testing._private.utils", "runstring"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch", "os.system"),
        ("numpy", "f2py.os.system"),
        ("collections", "abc.sys.modules"),
        ("collections", "OrderedDict.fromkeys"),
        ("functools", "reduce"),
        ("operator", "methodcaller"),
        ("pydoc", "pipepager"),
        ("logging", "getLogger"),
        ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
        ("no_such_package", "__class__.__base__"),
        ("code.model", "Network"),
    ],
)
def test_everything_else_is_stood_in_for(write, tmp_path, call, module, function):
    target = tmp_path / "proof"
    opcodes = call(module, function, str(target)) + dictionary(state=value(1)) + b"b"
    content = torch_file.read(write(dictionary(model=opcodes, step=value(3)), protocol=4))
    stand_in = content["model"]
    assert isinstance(stand_in, StandIn) and not target.exists() and content["step"] == 3
    assert repr(stand_in) == f"<{module}.{function}>"
    assert stand_in.arguments == (str(target),) and contents(stand_in) == {"state": 1}


def test_getattr_makes_stand_ins_of_stand_ins_alone(write):
    """Members of enumerations are pickled so, and so could anything in this process be reached."""
    cls = name("project.stages", "Stage")
    found = torch_file.read(write(op.call("__builtin__", "getattr", cls, value("FIT"))))
    assert repr(found) == "<project.stages.Stage.FIT>"
    for owner in (
        name("collections", "OrderedDict"),
        name("torch._utils", "_rebuild_tensor_v2"),
        value("text"),
        name("builtins", "getattr"),
    ):
        for attribute in ("__class__", "__globals__", "__init__"):
            path = write(op.call("builtins", "getattr", owner, value(attribute)))
            try:
                found = torch_file.read(path)
            except UsageError:
                continue
            assert isinstance(found, StandIn)


@pytest.mark.parametrize(
    "victim",
    {
        "tensor": tensor("a", "FloatStorage", 0, (1,), (1,)),
        "storage": op.storage("a", "FloatStorage"),
        "function": name("torch._utils", "_rebuild_tensor_v2"),
        "type of elements": name("torch", "FloatStorage"),
        "class": name("__builtin__", "dict"),
        "class of dictionaries": name("collections", "OrderedDict"),
        "encoding": name("_codecs", "encode"),
        "stand-in's class": name("torch.optim", "Adam"),
        "number's class": name("numpy", "dtype"),
        "getattr": name("builtins", "getattr"),
        "tuple": b")",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_file_cannot_alter_what_it_is_read_with(write, victim):
    """BUILD writes attributes, past `frozen`; through them a file could read other files."""
    before = vars(torch_file).copy(), vars(StandIn).copy(), np.dtype("<f4").str
    for state in (
        dictionary(offset=value(7), archive=value("/etc/passwd"), shape=value((9,))),
        b"N" + dictionary(offset=value(7), __defaults__=value((1,))) + b"\x86",
        value((3, ">", None, None, None, -1, -1, 0)),
    ):
        path = write(victim[1] + state + b"b", a=np.zeros(1, np.float32))
        with pytest.raises(UsageError):
            torch_file.read(path)
    assert (vars(torch_file), vars(StandIn), np.dtype("<f4").str) == before


def test_attributes_of_state_dicts_are_dropped(write):
    """PyTorch's own state dicts have `_metadata`; another's might replace `items`."""
    state = dictionary(_metadata=dictionary(), items=name("torch", "Inert"), keys=value(3))
    content = torch_file.read(write(name("collections", "OrderedDict") + b")R" + state + b"b"))
    assert content == {} and not hasattr(content, "_metadata")
    assert list(content.items()) == []


@pytest.mark.parametrize(
    "opcodes",
    [
        op.call("_codecs", "encode", value("abc"), value("zlib_codec")),
        op.call("_codecs", "encode", value(10**9), value("latin1")),
        op.call("__builtin__", "bytes", value(10**12)),
        op.call("__builtin__", "bytearray", value(10**12)),
        op.call("builtins", "bytes", value("abc"), value("unicode_escape")),
    ],
)
def test_bytes_are_made_of_text_alone(write, opcodes):
    with pytest.raises(UsageError):
        torch_file.read(write(opcodes))


@pytest.mark.parametrize("kind", ["list", "set", "tuple", "dict", "bytes"])
def test_copies_of_copies_cannot_take_all_memory(write, kind):
    """A thousand elements copied a thousand times, by six bytes each."""
    items = {"dict": value(dict.fromkeys(range(1000))), "bytes": value("a" * 1000)}
    items = items.get(kind, value(list(range(1000))))
    opcodes = b"]" + name("builtins", kind) + b"q\xfe0" + items + b"q\xffa"
    opcodes += b"h\xfeh\xff\x85Ra" * 1000
    with pytest.raises(UsageError, match="copies itself"):
        torch_file.read(write(opcodes))


def test_the_number_of_classes_is_limited(write):
    opcodes = b"](" + b"".join(name("a", f"b{i}") for i in range(MAX_NAMES + 1)) + b"e"
    with pytest.raises(UsageError, match="too many classes"):
        torch_file.read(write(opcodes))


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
    with pytest.raises(UsageError, match=r"is damaged|is cut off"):
        torch_file.read(write(opcodes, protocol=5))


def test_the_memo_cannot_take_all_memory(write):
    for put in (b"r" + struct.pack("<I", 2**32 - 1), b"p4000000000\n"):
        with pytest.raises(UsageError, match="too many objects"):
            torch_file.read(write(b"}" + put))


@pytest.mark.parametrize("opcode", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00"])
def test_objects_by_number_are_refused(write, opcode):
    """Any package may have given the number a meaning, in this process."""
    with pytest.raises(UsageError, match="by number"):
        torch_file.read(write(opcode))


def module(inner=b"}"):
    """The opcodes of a module of PyTorch's with these modules inside."""
    return name("torch.nn", "Module") + b")Rp50\n" + dictionary(_modules=inner) + b"b"


def test_modules_inside_of_modules_end(write):
    nested = module()
    for i in range(51, 111):  # twice the same inside of each: 2^60 in a few bytes
        put, get = f"p{i}\n0".encode(), f"g{i}\n".encode()
        nested += put + module(dictionary(a=get, b=get))
    itself = module(dictionary(a=b"g50\n"))
    for opcodes in (nested, itself):
        found = torch_file.read(write(opcodes))
        with pytest.raises(UsageError, match="nested without end"):
            contents(found)
    assert contents(torch_file.read(write(module(dictionary(a=module()))))) == {}
