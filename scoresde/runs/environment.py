"""What a run is computed by: revisions, versions and devices, for its record and `scoresde env`."""

import collections
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

from scoresde import __version__
from scoresde.registry import UsageError

_PACKAGES = ("jax", "jaxlib", "flax", "optax")

# Of a hook or another repository, which are not asked about.
_OF_GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def environment() -> dict[str, Any]:
    """What this process computes by, as JSON holds it.

    Returns:
        "scoresde" and "directory" are {"revision", "dirty"} of the git checkout that the package
        runs from and of the repository of the current directory, if that is another; None where
        there is none, or no git. Dirty is a checkout of which a tracked file is changed. "versions"
        are of scoresde, Python, and the packages of JAX, and "devices" the number of each kind.

    Raises:
        UsageError: JAX has no device.
    """
    package = pathlib.Path(__file__).resolve().parent
    own, here = _root(package), _root(pathlib.Path.cwd())
    if own is not None and not _git(package, "ls-files", "--error-unmatch", "--", __file__):
        own = None  # installed below somebody's repository, and no part of it
    kinds = collections.Counter(device.device_kind for device in _devices())
    return {
        "scoresde": _checkout(own),
        "directory": _checkout(None if here == own else here),
        "versions": {
            "scoresde": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "devices": dict(sorted(kinds.items())),
    }


def with_environment(found: list[dict[str, Any]], now: dict[str, Any]) -> list[dict[str, Any]]:
    """The environments `found` in a record and the one of `now`, each once, that one last."""
    return [*(record for record in found if record != now), now]


def revision_words(checkout: dict[str, Any] | None) -> str:
    """For instance "1a2b3c4d5e6f, with changes"."""
    if checkout is None:
        return "not a git checkout"
    return checkout["revision"][:12] + ", with changes" * checkout["dirty"]


def _devices() -> list[jax.Device]:
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts it of platforms that it knows
        said = f" ({error})" if str(error) else ""
        raise UsageError(
            f"JAX has no devices with JAX_PLATFORMS={jax.config.jax_platforms}{said}: name one "
            "that is installed, as cpu always is."
        ) from None


def _root(folder: pathlib.Path) -> str | None:
    """The root of the repository that a folder is in."""
    return (_git(folder, "rev-parse", "--show-toplevel") or "").strip() or None


def _checkout(root: str | None) -> dict[str, Any] | None:
    status = root and _git(
        pathlib.Path(root), "status", "--porcelain=v2", "--branch", "--untracked-files=no"
    )
    lines = (status or "").splitlines()
    heads = [line.split()[2] for line in lines if line.startswith("# branch.oid ")]
    if not heads or heads == ["(initial)"]:
        return None
    return {"revision": heads[0], "dirty": any(not line.startswith("#") for line in lines)}


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    """What git prints; None where it fails, or is not there."""
    outer = {name: value for name, value in os.environ.items() if name not in _OF_GIT}
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env={**outer, "GIT_OPTIONAL_LOCKS": "0"},
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
