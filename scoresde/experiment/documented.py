"""What docstrings say of the options of a class or function, one by one."""

import inspect
import re
from collections.abc import Callable

_ENTRY = re.compile(r"    (\w+): ?(.*)")


def summary(component: Callable) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(component) or "").partition("\n")[0]


def options(component: Callable) -> dict[str, str]:
    """The "Attributes:" or "Args:" of a docstring, each in one line.

    A class that says nothing of an option has what the classes say that it is derived from.
    """
    found = {}
    for kind in reversed(getattr(component, "__mro__", [component])):
        if kind is not object:
            found |= _entries(inspect.cleandoc(kind.__doc__ or ""))
    return found


def _entries(text: str) -> dict[str, str]:
    entries, name, inside = {}, None, False
    for line in text.splitlines():
        if line and not line.startswith(" "):
            inside, name = line in ("Attributes:", "Args:"), None
        elif inside and (entry := _ENTRY.fullmatch(line)):
            name, entries[entry[1]] = entry[1], entry[2]
        elif name and line.strip():
            entries[name] += f" {line.strip()}"
        else:
            name = None
    return entries
