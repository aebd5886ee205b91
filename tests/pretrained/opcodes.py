"""Pickles by hand: the opcodes of values, names, tensors, and the files around them."""

import pickle
import struct
import zipfile


def value(obj):
    """The opcodes that push a plain object."""
    return pickle.dumps(obj, protocol=0)[:-1]


def name(module, attribute):
    """The opcode that pushes a global."""
    return f"c{module}\n{attribute}\n".encode()


def text(string):
    """The opcode of protocol 4 that pushes a string."""
    return b"\x8c" + bytes([len(string)]) + string.encode()


def call(module, attribute, *arguments):
    """The opcodes that call a global with arguments, given as opcodes."""
    return name(module, attribute) + b"(" + b"".join(arguments) + b"tR"


def encoded(content):
    """The opcodes that protocol 2 writes for bytes."""
    return call("_codecs", "encode", value(content.decode("latin1")), value("latin1"))


def storage(key, kind, *more):
    """The opcodes that PyTorch writes for a storage."""
    identifier = b"(" + value("storage") + name("torch", kind) + value(key) + value("cpu")
    return identifier + value(0) + b"".join(more) + b"tQ"


def tensor(key, kind, offset, shape, strides, *more):
    """The opcodes that PyTorch writes for a tensor."""
    place = value(offset) + value(shape) + value(strides) + value(False)
    hooks = call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", storage(key, kind, *more), place, hooks)


def dictionary(**items):
    """The opcodes of a dictionary of values given as opcodes."""
    return b"}" + b"".join(value(key) + opcodes + b"s" for key, opcodes in items.items())


def zip_file(path, opcodes, protocol=2, root="file", compression=zipfile.ZIP_STORED, **storages):
    """Writes a file as `torch.save` does since PyTorch 1.6."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{root}/data.pkl", b"\x80" + bytes([protocol]) + opcodes + b".")
        for key, array in storages.items():
            content = array if isinstance(array, bytes) else array.tobytes()
            folder = "" if key == "byteorder" else "data/"
            archive.writestr(f"{root}/{folder}{key}", content)
    return path


MAGIC = 0x1950A86A20F9469CFC6C


def plain_file(path, opcodes, protocol=2, little_endian=True, **storages):
    """Writes a file as `torch.save` did before."""
    sizes = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {"int": 4}}
    content = b"".join(pickle.dumps(part, protocol) for part in (MAGIC, 1001, sizes))
    content += b"\x80" + bytes([protocol]) + opcodes + b"."
    content += pickle.dumps(list(storages), protocol)
    for array in storages.values():
        content += struct.pack("<q", array.size) + array.tobytes()
    path.write_bytes(content)
    return path
