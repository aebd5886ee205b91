"""Writing files of statistics that the published tools read.

Beside what a tool reads there are two more entries, which none of them minds: `num_images`, and
`protocol`, see `protocols`.
"""

import io
import pathlib
import pickle
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scoresde import files
from scoresde.metrics import feature_arrays, gaussians
from scoresde.metrics.moments import Moments
from scoresde.metrics.stats import protocols
from scoresde.registry import UsageError, member, shown

SUFFIXES = {".npz": "pytorch_fid", ".pkl": "edm2", ".pt": "torch_fidelity"}
"""The format of a file by what its name ends in."""


def write(
    path: str | pathlib.Path,
    statistics: Moments | tuple[Any, Any] | Mapping[str, Moments],
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes moments, whole or not at all.

    Args:
        path: the file.
        statistics: `Moments`, or a mean and a covariance. For "edm2", which calls them "fid", also
            a dictionary of several: {"fid": ..., "fd_dinov2": ...}.
        format: one of `FORMATS`; by default what the file's name ends in says.
        overwrite: whether a file that is there may be replaced.

    Raises:
        UsageError: the file is there, no such format, or no moments.
    """
    path = pathlib.Path(path)
    if format is None:
        format = SUFFIXES.get(path.suffix)
        if format is None:
            raise UsageError(
                f"{path} must end in {', '.join(SUFFIXES)}, or be given a format: "
                f"{', '.join(FORMATS)}."
            )
    encode = member("format of statistics", FORMATS, format)
    if isinstance(statistics, Mapping) and format != "edm2":
        raise UsageError(f"The format {format!r} has one mean and covariance; edm2 has several.")
    if not isinstance(statistics, Mapping):
        statistics = {"fid": statistics}
    _put(path, encode({name: _entries(m) for name, m in statistics.items()}), overwrite)


def write_features(
    path: str | pathlib.Path,
    features: Any,
    logits: Any = None,
    protocol: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes features as score_sde's .npz, `pool_3` and `logits`.

    Args:
        path: the file.
        features: [n, d].
        logits: [n, classes], if there are any.
        protocol: see `Moments`.
        overwrite: whether a file that is there may be replaced.

    Raises:
        UsageError: the file is there, or no features.
    """
    arrays = {"pool_3": feature_arrays.checked(features, "Features")}
    if logits is not None:
        arrays["logits"] = feature_arrays.checked(logits, "Logits")
        if len(arrays["logits"]) != len(arrays["pool_3"]):
            raise UsageError(
                f"There must be as many logits as features, got {len(arrays['logits'])} and "
                f"{len(arrays['pool_3'])}."
            )
    if protocol is not None:
        arrays["protocol"] = np.array(protocols.encoded(protocol))
    _put(pathlib.Path(path), _npz(arrays), overwrite)


def _entries(statistics: Any) -> dict[str, Any]:
    """What a file has of moments."""
    if not isinstance(statistics, Moments):
        if not isinstance(statistics, tuple | list) or len(statistics) != 2:
            raise UsageError(
                f"Statistics must be Moments, or a mean and a covariance, not {shown(statistics)}."
            )
        statistics = Moments(*statistics)
    mean, covariance = gaussians.check(*statistics)
    entries = {"mu": mean, "sigma": covariance}
    if statistics.num is not None:
        entries["num_images"] = int(statistics.num)
    if statistics.protocol is not None:
        entries["protocol"] = protocols.encoded(statistics.protocol)
    return entries


def _put(path: pathlib.Path, content: bytes, overwrite: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name a file in it.")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already; name another file, or pass overwrite=True.")
    with files.replacing(path) as file:
        file.write(content)


def _npz(entries: Mapping[str, Any]) -> bytes:
    content = io.BytesIO()
    np.savez(content, **entries)
    return content.getvalue()


def _pickled(sections: Mapping[str, Mapping]) -> bytes:
    """EDM2's: {"num_images": n, "fid": {"mu": ..., "sigma": ...}, ...}."""
    numbers = [entries.get("num_images") for entries in sections.values()]
    if len(set(numbers)) != 1:
        raise UsageError(f"Statistics in one file must be of as many images, got {shown(numbers)}.")
    found: dict[str, Any] = {} if numbers[0] is None else {"num_images": numbers[0]}
    for name, entries in sections.items():
        found[name] = {key: value for key, value in entries.items() if key != "num_images"}
    return pickle.dumps(found, protocol=4)


def _torch_archive(entries: Mapping[str, Any]) -> bytes:
    """torch.save's archive of a dictionary of NumPy's arrays, which has no tensors."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(dict(entries), protocol=2))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return content.getvalue()


FORMATS: Mapping[str, Callable[[Mapping[str, Mapping]], bytes]] = {
    "pytorch_fid": lambda sections: _npz(sections["fid"]),
    "edm": lambda sections: _npz(sections["fid"]),
    "edm2": _pickled,
    "torch_fidelity": lambda sections: _torch_archive(sections["fid"]),
}
"""Formats by the tool that they are of: the first two are alike, and TTUR's and clean-fid's."""
