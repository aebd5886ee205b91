"""A config as a Python file: every key with its value, and what it is above it."""

import textwrap
from collections.abc import Mapping
from typing import Any

import ml_collections

from scoresde.experiment.resolved import Key, resolved

_WIDTH = 100


def as_python(config: ml_collections.ConfigDict | Mapping[str, Any], docstring: str) -> str:
    """A config file that needs no import, and returns `config` with every default filled in.

    Args:
        config: as `build` takes it.
        docstring: the file's.

    Raises:
        UsageError: as `build`.
    """
    lines = [f'"""{docstring}"""', "", "", "def get_config():", '    """The experiment."""']
    lines += ["    return {", *_lines(resolved(config), " " * 8), "    }", ""]
    return "\n".join(lines)


def _lines(keys: Mapping[str, Key], indent: str) -> list[str]:
    lines = []
    for name, (value, words) in keys.items():
        lines += textwrap.wrap(
            words, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
        )
        if not isinstance(value, dict) or not all(isinstance(v, Key) for v in value.values()):
            lines.append(f"{indent}{_literal(name)}: {_literal(value)},")
        elif not value:
            lines.append(f"{indent}{_literal(name)}: {{}},")
        else:
            inner = _lines(value, f"{indent}    ")
            lines += [f"{indent}{_literal(name)}: {{", *inner, f"{indent}}},"]
    return lines


def _literal(value: Any) -> str:
    """As a person would write it: with double quotes."""
    if isinstance(value, str) and value.isprintable() and not set(value) & {'"', "\\"}:
        return f'"{value}"'
    if isinstance(value, Mapping):
        items = (f"{_literal(name)}: {_literal(one)}" for name, one in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))}{',' * (len(value) == 1)})"
    return repr(value)
