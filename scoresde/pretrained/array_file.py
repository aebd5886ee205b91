"""Reading named arrays: NumPy's .npz, .safetensors, and PyTorch's state dicts."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from scoresde.pretrained import torch_file
from scoresde.registry import UsageError

SAFETENSORS_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def read(path: str | pathlib.Path) -> Mapping[str, Any]:
    """The named arrays of a file.

    Args:
        path: .npz, .safetensors, or .pth / .pt with a state dict.

    Raises:
        UsageError: no such file, another format, or a damaged file.
    """
    path = pathlib.Path(path)
    if path.suffix == ".pkl":
        raise UsageError(
            f"{path} is a pickle, which runs code of its writer's when it is loaded. In that "
            "project's environment, export the weights once: numpy.savez('weights.npz', **{name: "
            "value.cpu().numpy() for name, value in pickle.load(open(path, 'rb'))['ema']"
            ".state_dict().items()})."
        )
    if not path.is_file():
        raise UsageError(f"No file {path}.")
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors}
    try:
        arrays = readers.get(path.suffix, torch_file.read)(path)
    except UsageError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise UsageError(f"{path} is damaged: {error!r}.") from error
    if not isinstance(arrays, Mapping):
        raise UsageError(f"{path} does not hold named arrays.")
    return arrays


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """A header's length in eight bytes, the header in JSON, the arrays' bytes one after another."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    arrays = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        data, dtype = content[start + first : start + last], SAFETENSORS_DTYPES[entry["dtype"]]
        arrays[name] = np.frombuffer(data, dtype).reshape(entry["shape"])
    return arrays
