"""Components by name.

Every family of components (SDEs, predictions, networks, samplers, ...) is a plain dictionary from
public names to classes or functions. `make` looks a name up and calls it with checked options;
a name of the form `package.module:Name` reaches a class of the user's own.
"""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

from scoresde.errors import UsageError, UsageWarning, first_line, shown

__all__ = [
    "UsageError",
    "UsageWarning",
    "closest",
    "component",
    "first_line",
    "lookup",
    "make",
    "make_around",
    "member",
    "see_current_folder",
    "shown",
]


def closest(name: str, known: list[str]) -> str:
    """` Did you mean ...?`, or nothing if none of `known` is like `name`."""
    match = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {match[0]!r}?" if match else ""


def member(family: str, table: Mapping[str, Any], name: str, others: str = "") -> Any:
    """The member of `table` called `name`, of a family that is complete.

    Args:
        family: what the table holds, in words, for the error message ("SDE", "sampler", ...).
        table: public names to members.
        name: a key of `table`.
        others: what else there is, for the error message.

    Raises:
        UsageError: the name is unknown.
    """
    if not isinstance(name, str):
        raise UsageError(f"The {family} must be given by name, not as {name!r}.")
    if name not in table:
        known = sorted(table)
        raise UsageError(
            f"Unknown {family} {name!r}.{closest(name, known)} Known: {', '.join(known)}{others}."
        )
    return table[name]


def see_current_folder() -> None:
    """Lets `package.module:Name` be of the folder we are in, as it is for `python -m`."""
    if "" not in sys.path:
        sys.path.append("")


def lookup(family: str, table: Mapping[str, Callable], name: str) -> Callable:
    """The member of `table` called `name`, or the object at `package.module:Name`.

    Args:
        family: see `member`.
        table: public names to classes or functions.
        name: a key of `table`, or `package.module:Name`.

    Raises:
        UsageError: the name is unknown, or its module fails or has no such attribute.
    """
    if isinstance(name, str) and ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise UsageError(
                f"{family} {name!r}: cannot import {module_name!r} ({error}); install it, or run "
                "from the folder that it is in."
            ) from error
        except Exception as error:  # whatever the module does when it is imported
            raise UsageError(
                f"{family} {name!r}: {module_name!r} fails when imported, "
                f"{type(error).__name__}: {error}."
            ) from error
        if not hasattr(module, attribute):
            raise UsageError(f"{family} {name!r}: {module_name!r} has no {attribute!r}.")
        return getattr(module, attribute)
    return member(family, table, name, "; or 'package.module:Name' for your own")


def make(family: str, table: Mapping[str, Callable], name: str, **options: Any) -> Any:
    """Calls `lookup(family, table, name)` with `options`, which must be parameters it takes.

    Raises:
        UsageError: unknown name, an option the component does not take, or one it needs.
    """
    return make_around({}, family, table, name, **options)


def make_around(
    given: Mapping[str, Any], family: str, table: Mapping[str, Callable], name: str, **options: Any
) -> Any:
    """`make`, with arguments that the caller gives: nobody's options, and not named among them.

    Args:
        given: the caller's arguments, by name.
        family: as of `make`, and what follows.
        table: public names to classes or functions.
        name: a key of `table`, or `package.module:Name`.
        **options: the user's.

    Raises:
        UsageError: as `make`.
    """
    component = lookup(family, table, name)
    if not callable(component):
        raise UsageError(f"The {family} {name!r} is no class or function, but {shown(component)}.")
    try:
        parameters = inspect.signature(component).parameters
    except ValueError:  # some builtins have none
        return component(**given, **options)
    from scoresde import plain  # numpy, which a help text need not wait for

    hints = plain.hints_of(component)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [
        k
        for k, p in parameters.items()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and k not in given
    ]
    for option in options:
        if option in given or (option not in known and not takes_any):
            raise UsageError(
                f"The {family} {name!r} has no option {option!r}.{closest(option, known)} "
                f"Its options: {', '.join(known) or 'none'}."
            )
        default = parameters[option].default if option in parameters else None
        if options[option] is not default:
            hint = bool if isinstance(default, bool) else hints.get(option)
            plain.check(f"The {family} {name!r}: {option}", options[option], hint)
    for option in known:
        if parameters[option].default is inspect.Parameter.empty and option not in options:
            raise UsageError(f"The {family} {name!r} needs the option {option!r}.")
    try:
        return component(**given, **options)
    except TypeError as error:  # an option of another type
        raise UsageError(f"The {family} {name!r}: {first_line(error).rstrip('.')}.") from error


def component(
    family: str, table: Mapping[str, Callable], choice: Any, kind: type, **options: Any
) -> Any:
    """The object that `choice` says: as it is, or made of its name or section.

    Args:
        family: see `member`.
        table: public names to classes or functions.
        choice: an object of `kind`; a name, as of `lookup`; or {"name": ..., option: value, ...}.
        kind: what the object must be an instance of.
        **options: further options, where `choice` is no object.

    Raises:
        UsageError: none of these, or as `make`.
    """
    if isinstance(choice, str):
        choice = {"name": choice}
    if isinstance(choice, Mapping):
        section = dict(choice)
        if "name" not in section:
            raise UsageError(f"The section of the {family} has no name: {shown(section)}.")
        for option in options:
            if option in section:
                raise UsageError(f"The {family} is given its option {option!r} twice.")
        choice = make(family, table, **section, **options)
    elif options:
        given = ", ".join(options)
        raise UsageError(f"The {family} is an object and takes no further options, got {given}.")
    if isinstance(choice, type):
        raise UsageError(
            f"The {family} is given as a class; make one of it, {choice.__name__}(...)."
        )
    if not isinstance(choice, kind):
        known = ", ".join(table)
        raise UsageError(
            f"The {family} must be a name ({known}), a section with a name, or a "
            f"{kind.__name__}, not {shown(choice)}."
        )
    return choice
