"""Reading named arrays: NumPy's .npz, .safetensors, and PyTorch's files.

What a file is, its first bytes say, whatever its name ends in.
"""

import json
import pathlib
import zipfile
from typing import Any

import ml_dtypes
import numpy as np

from scoresde.pretrained import file_kinds, torch_file
from scoresde.registry import UsageError

SAFETENSORS_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "C64": np.dtype("<c8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def read(path: str | pathlib.Path) -> Any:
    """What a file holds: named arrays, or PyTorch's objects with arrays in them.

    Args:
        path: a file of numpy.savez's, of safetensors', or of torch.save's.

    Raises:
        UsageError: no such file, another format, or a damaged file.
    """
    path = pathlib.Path(path)
    head = b""
    if path.is_file():
        with open(path, "rb") as file:
            head = file.read(16)
    # torch.save's own files have no pickle's first bytes, or PyTorch's magic number in them.
    if path.suffix == ".pkl" and head[:2] != b"PK" and head[2:4] != b"\x8a\x0a":
        raise UsageError(
            f"{path} is a pickle, which runs code of its writer's when it is loaded. In that "
            "project's environment, export the weights once: numpy.savez('weights.npz', **{name: "
            "value.cpu().numpy() for name, value in pickle.load(open(path, 'rb'))['ema']"
            ".state_dict().items()})."
        )
    file_kinds.check(path)
    if file_kinds.is_safetensors(head) or path.suffix == ".safetensors":
        return file_kinds.guarded(path, lambda: _read_safetensors(path))
    if head[:2] == b"PK" and file_kinds.guarded(path, lambda: _has_npy(path)):
        return file_kinds.guarded(path, lambda: _read_npz(path))
    if head.startswith(b"\x93NUMPY"):
        raise UsageError(f"{path} is one array without a name; save named ones by numpy.savez.")
    return torch_file.read(path)


def _has_npy(path: pathlib.Path) -> bool:
    """Whether a zip archive is of NumPy's arrays."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """A header's length in eight bytes, the header in JSON, the arrays' bytes one after another."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    if file_kinds.is_safetensors(content[:16]) and start > len(content):
        raise _cut_off(path, len(content), start)
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    stop = start + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if stop > len(content):
        raise _cut_off(path, len(content), stop)
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        data, dtype = content[start + first : start + last], SAFETENSORS_DTYPES[entry["dtype"]]
        arrays[name] = np.frombuffer(data, dtype).reshape(entry["shape"])
    return arrays


def _cut_off(path: pathlib.Path, size: int, whole: int) -> UsageError:
    return UsageError(
        f"{path} is cut off: it has {size} of at least {whole} bytes. Download it again."
    )
