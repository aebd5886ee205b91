"""JAX's cache of compiled programs on disk."""

import os
import pathlib
import sys

from scoresde.speed.setting import Setting

_VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def cache_programs(directory: str | os.PathLike | None = None) -> Setting:
    """Sets it, unless the environment or JAX's configuration does, "" for none; says what it did.

    Args:
        directory: where; `~/.cache/scoresde/jax` if None.
    """
    name = "compilation cache"
    jax = sys.modules.get("jax")
    there = os.environ.get(_VARIABLE) if jax is None else jax.config.jax_compilation_cache_dir
    try:
        where = pathlib.Path("~/.cache/scoresde/jax" if directory is None else directory)
        where = where.expanduser()
    except RuntimeError:  # as for a container's user without a name
        return Setting(name, there or "", f"there is no home directory; {_VARIABLE} says where")
    if there is not None and (directory is None or there == str(where)):
        ours = there == str(where)
        return Setting(name, there, _OURS if ours else f"{_VARIABLE}, or JAX's configuration")
    if jax is None:  # which reads it when it is imported
        os.environ[_VARIABLE] = str(where)
    else:
        jax.config.update("jax_compilation_cache_dir", str(where))
        # What was compiled before has settled that there is no cache.
        from jax.experimental.compilation_cache import compilation_cache

        compilation_cache.reset_cache()
    return Setting(name, str(where), _OURS)


_OURS = f"scoresde: programs compiled once are read back; {_VARIABLE} says where"
