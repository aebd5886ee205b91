"""Values of a config set on the command line: --config.KEY=VALUE."""

import ast
import copy
import re
from collections.abc import Sequence
from typing import Any

import ml_collections

from scoresde.experiment.sections import name_key
from scoresde.registry import UsageError

# Where a config names a component, and the keys there that are not the component's own options.
_COMPONENTS = {
    "data.source": (),
    "data.codec": (),
    "sde": (),
    "prediction": ("time_input",),
    "network": (),
    "loss.weighting": (),
    "loss.times": (),
    "loss.augmentation": (),
    "optimizer.schedule": (),
    "sampler": ("steps", "t_min", "clip"),  # how long and how far; a grid suits one sampler
}


# The name of a component: of its family, or package.module:Name.
_NAME = re.compile(r"([A-Za-z_][\w.]*:)?[A-Za-z_]\w*")


def among(arguments: Sequence[str], help_command: str) -> list[str]:
    """The --config.KEY=VALUE among the arguments that a command line does not know itself.

    Args:
        arguments: what is left of the command line.
        help_command: what shows the known arguments, for the error message.

    Raises:
        UsageError: another argument, or one without a value.
    """
    for item in arguments:
        if not item.startswith("--config."):
            raise UsageError(f"Unknown argument {item!r}. See: {help_command}")
        if "=" not in item:
            raise UsageError(f"{item} has no value. Write {item}=VALUE, with the =.")
    return list(arguments)


def apply(config: ml_collections.ConfigDict, items: Sequence[str]) -> ml_collections.ConfigDict:
    """A copy of `config` with `items` set.

    A component that gets another name has the defaults of that one, and what `items` set: the
    options in the config were its predecessor's. Of a sampler, the number of steps, t_min and clip
    stay.

    Args:
        config: of an experiment.
        items: --config.KEY=VALUE each, the value a Python literal or a bare string. A key that the
            config leaves out is added; whether anything reads it is for the reader to say.

    Raises:
        UsageError: a value that is not of the key's type.
    """
    config, given, renamed = copy.deepcopy(config), set(), {}
    with config.unlocked():
        for item in items:
            where, section, key, old = _set(config, item)
            given.add(f"{where}.{key}")
            if key == "name" and where in _COMPONENTS and section.name != old:
                renamed[where] = section
        for where, section in renamed.items():
            _keep(section, where, given, _COMPONENTS[where])
    return config.lock()


def _keep(section, where, given, others=()):
    """Leaves in a section what was given, in the sections within it too, and the `others`."""
    for key in set(section) - set(others):
        path = f"{where}.{key}"
        if path in given:
            continue
        if any(other.startswith(f"{path}.") for other in given):
            _keep(section[key], path, given)
        else:
            del section[key]


def _set(config, item):
    """Sets one; returns where its section is, the section, the key and what it was."""
    path, is_one, text = item.removeprefix("--config.").partition("=")
    if not is_one:
        raise UsageError(f"{item} has no value. Write {item}=VALUE, with the =.")
    *names, key = path.split(".")
    section = config
    for depth, name in enumerate(names, start=1):
        section = _subsection(section, name, item, ".".join(names[:depth]))
    if isinstance(section.get(key), ml_collections.ConfigDict) and _NAME.fullmatch(text):
        section, key = section[key], name_key(path)  # a component by its name alone
        names = path.split(".")
    old = section.get(key)
    value = _value(item, text, old)
    if isinstance(old, str) and not isinstance(value, str | None):
        del section[key]  # a ConfigDict lets no key change its type
    try:
        section[key] = value
    except TypeError as error:  # a key without a value yet may have a type
        raise UsageError(f"{item}: {error}") from None
    return ".".join(names), section, key, old


def _subsection(section, name, item, path):
    found = section.get(name)
    if found is None:
        section[name] = ml_collections.ConfigDict()
    elif isinstance(found, str):  # a component given by its name alone
        del section[name]
        section[name] = ml_collections.ConfigDict({name_key(path): found})
    elif not isinstance(found, ml_collections.ConfigDict):
        raise UsageError(f"{item}: {name!r} is a value, {found!r}, and has no keys.")
    return section[name]


def _value(item: str, text: str, old: Any) -> Any:
    """`text` as what takes the place of `old`."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if value is None or old is None:
        return value
    if isinstance(old, ml_collections.ConfigDict):
        raise UsageError(f"{item}: a section, of {', '.join(old)}. Set one of these.")
    if isinstance(old, str):
        return value if isinstance(value, list | tuple) else text
    if isinstance(old, bool) and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if isinstance(old, int) and isinstance(value, float) and value.is_integer():
        value = int(value)  # 1e5 steps
    if isinstance(old, float) and type(value) is int:
        value = float(value)
    if isinstance(old, list | tuple) and isinstance(value, list | tuple):
        value = type(old)(value)
    if type(value) is not type(old):
        raise UsageError(f"{item}: expected {type(old).__name__}, as {old!r} is.")
    return value
