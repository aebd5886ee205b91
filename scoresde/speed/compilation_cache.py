"""JAX's cache of compiled programs on disk."""

import importlib
import os
import pathlib
import sys

from scoresde.speed.setting import Setting

_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
_SWITCH = "JAX_ENABLE_COMPILATION_CACHE"


def cache_programs(directory: str | os.PathLike | None = None) -> Setting:
    """Sets it, for children, too; says what it did.

    Args:
        directory: where, whatever the environment and JAX's configuration say; if None, where these
            say, "" for no cache, or else `~/.cache/scoresde/jax`.
    """
    name = "compilation cache"
    # Where it is there it is imported again, which waits for a thread that is at it.
    jax = importlib.import_module("jax") if "jax" in sys.modules else None
    if _is_off() if jax is None else not jax.config.jax_enable_compilation_cache:
        return Setting(name, "", f"{_SWITCH}, or JAX's configuration, turns it off")
    there = os.environ.get(_VARIABLE) if jax is None else jax.config.jax_compilation_cache_dir
    where = _expanded("~/.cache/scoresde/jax" if directory is None else directory)
    if there is not None and (directory is None or there == where):
        why = _why(where) if there == where else f"{_VARIABLE}, or JAX's configuration"
        return Setting(name, there, why)
    if where is None:
        return Setting(name, "", f"there is no home directory; {_VARIABLE} says where")
    os.environ[_VARIABLE] = where  # which JAX reads when it is imported
    if jax is not None:
        jax.config.update("jax_compilation_cache_dir", where)
        # Once JAX has opened a directory it stays with that one.
        from jax.experimental.compilation_cache import compilation_cache

        compilation_cache.reset_cache()
    return Setting(name, where, _why(where))


def _why(where: str) -> str:
    """Of a directory of ours, or a bucket, that may be there or not."""
    if not where:
        return "scoresde.configure() was told to have none"
    path = pathlib.Path(where).absolute()
    there = next(folder for folder in (path, *path.parents) if os.path.exists(folder))
    if "://" not in where and not os.access(there, os.W_OK | os.X_OK):
        return f"scoresde, but it cannot be written to; {_VARIABLE} says where"
    return f"scoresde: programs compiled once are read back; {_VARIABLE} says where"


def _is_off() -> bool:
    """Whether JAX will read in the environment that it has no cache."""
    return os.environ.get(_SWITCH, "").lower() in ("n", "no", "f", "false", "off", "0")


def _expanded(directory: str | os.PathLike) -> str | None:
    """A path without ~, or None for a user without a home, as a container's without a name."""
    path = os.path.expanduser(os.fspath(directory))
    return None if path.startswith("~") else path
