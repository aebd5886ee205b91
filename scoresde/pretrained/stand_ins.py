"""Stand-ins for the objects of a pickle that are not built.

A pickle names classes and functions and says what to call them with. A checkpoint names many: of
its training framework (callbacks, configurations, schedules), of its author, of Python's library.
Nothing of them is imported and nothing is called. Each name becomes a class of its own, whose
instances remember what they were given and do nothing else. So the weights beside them can be read,
and those inside of a module that was pickled whole.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from scoresde.registry import UsageError

MAX_NAMES = 10_000
"""The most classes that a file may name; checkpoints name tens."""

MAX_MODULES = 100_000
"""The most modules that a network may have; a few bytes could nest any number."""

RUNNING = {
    *("os", "posix", "nt", "subprocess", "_posixsubprocess", "commands", "popen2", "pty", "shutil"),
    *("sys", "imp", "importlib", "runpy", "code", "codeop", "ctypes", "marshal", "pickle"),
    *("_pickle", "cPickle", "socket", "webbrowser", "pdb", "bdb", "timeit", "pip"),
    "scoresde.registry",
}
"""Modules for running things, which are in a file only to do harm."""

PACKAGES = {"os", "importlib", "ctypes", "pip"}
"""Those of them that have modules inside; `code.model` is an author's own."""

RUNNING_BUILTINS = {
    *("eval", "exec", "execfile", "compile", "open", "file", "__import__", "reload", "apply"),
    *("setattr", "delattr", "globals", "locals", "vars", "input", "raw_input", "breakpoint"),
    *("exit", "quit"),
}
"""The same among Python's own functions."""


def refuse_running(module: str, name: str, file: Any) -> None:
    """Refuses names that no checkpoint needs.

    This is what a user wants to know about the file, not what makes reading it safe: any other name
    would not be called either.

    Raises:
        UsageError: the name is for running things.
    """
    builtin = module in ("builtins", "__builtin__") and name.partition(".")[0] in RUNNING_BUILTINS
    opening = module in ("io", "_io", "codecs") and name in ("open", "open_code", "FileIO")
    if builtin or opening or module in RUNNING or module.partition(".")[0] in PACKAGES:
        raise UsageError(
            f"{file} would call {module}.{name}, which is no part of a file of weights; "
            "it was not run. Load the file in PyTorch, if you trust it, and save its state dict."
        )


class Sealed:
    """An object that a pickle may use but not alter, which would otherwise bypass `frozen`."""

    def __setstate__(self, state):
        raise UsageError("The file is no file of weights: it alters what it is read with.")


class StandIn:
    """What stands for an object of a class that is not built; a subclass stands for the class.

    Attributes:
        name: the class or function, `package.module.Name`.
        arguments: what it was called with.
        state: what it was to be restored from.
        entries: what was stored in it by key.
        elements: what was appended to it.
    """

    __slots__ = ("arguments", "elements", "entries", "state")
    name = ""

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self.arguments, self.state, self.entries, self.elements = args, None, {}, []
        return self

    def __call__(self, *args, **kwargs):
        return type(self)(*args)

    def __setstate__(self, state):
        self.state = state

    def __setitem__(self, key, value):
        self.entries[key] = value

    def append(self, item):
        """Remembers the item."""
        self.elements.append(item)

    add = append

    def extend(self, items):
        """Remembers the items."""
        self.elements.extend(items)

    def __repr__(self):
        return f"<{self.name}>"


class StandIns:
    """The classes that stand for the names of one file, one for each."""

    def __init__(self):
        self.classes: dict[str, type[StandIn]] = {}

    def named(self, name: str) -> type[StandIn]:
        """The class that stands for what `name` is the full name of.

        Raises:
            UsageError: the file names too many.
        """
        if name not in self.classes:
            if len(self.classes) == MAX_NAMES:
                raise UsageError("The file is no file of weights: it names too many classes.")
            attributes = {"__slots__": (), "name": name}
            self.classes[name] = type(name.rpartition(".")[2], (StandIn,), attributes)
        return self.classes[name]

    def attribute(self, owner: Any, name: Any) -> StandIn:
        """What stands for `getattr(owner, name)`, as members of enumerations are pickled.

        Raises:
            UsageError: the owner is no stand-in, so that this would look inside of Python.
        """
        stands_in = isinstance(owner, StandIn) or (
            isinstance(owner, type) and issubclass(owner, StandIn)
        )
        if not stands_in or not isinstance(name, str):
            raise UsageError(
                "The file would call builtins.getattr on what is no class of its own, which is no "
                "part of a file of weights; it was not run."
            )
        return self.named(f"{owner.name}.{name}")()


def attributes(stand_in: StandIn) -> Mapping[str, Any]:
    """The attributes that the object would have had; those of `__slots__` come in a second half."""
    state = stand_in.state
    halves = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    return {k: v for half in halves if isinstance(half, Mapping) for k, v in half.items()}


def contents(node: Any) -> Mapping[Any, Any] | None:
    """What an object of a file holds by name; None if it holds nothing by name.

    That is a dictionary's items; a pickled module's state dict; another object's attributes.
    """
    if isinstance(node, Mapping):
        return node
    if not isinstance(node, StandIn):
        return None
    if node.entries:
        return node.entries
    own = attributes(node)
    if "_modules" in own or node.name.startswith("__torch__."):
        return dict(_state_dict(node, "", [MAX_MODULES]))
    return own or None


def _state_dict(module: StandIn, prefix: str, budget: list[int]) -> Iterator[tuple[str, Any]]:
    """A module's parameters and buffers by name, in the order of PyTorch's `state_dict`."""
    budget[0] -= 1
    if budget[0] < 0 or prefix.count(".") > 100:
        raise UsageError("The file is no file of weights: its modules are nested without end.")
    own = attributes(module)
    if "_modules" in own:
        passing = own.get("_non_persistent_buffers_set")
        passing = passing if isinstance(passing, set | frozenset) else ()
        groups = [own.get(group) for group in ("_parameters", "_buffers", "_modules")]
        items = [item for group in groups if isinstance(group, Mapping) for item in group.items()]
        items = [(n, v) for n, v in items if isinstance(n, str) and n not in passing]
    else:  # of TorchScript, whose modules have their parts as attributes
        items = list(own.items())
    for name, value in items:
        if hasattr(value, "shape"):
            yield f"{prefix}{name}", value
        elif isinstance(value, StandIn):
            yield from _state_dict(value, f"{prefix}{name}.", budget)
