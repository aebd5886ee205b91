"""Which folders of pictures are splits and which are classes, where their names say so.

A name alone does not always: `train` beside `bus` and `car` may be a vehicle. What is ambiguous is
refused, and the option `layout` settles it.
"""

import re
from collections.abc import Iterable
from pathlib import PurePath

from scoresde.data.walk import NotRead
from scoresde.registry import UsageError

LAYOUTS = ("auto", "splits", "classes")

_SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}


def check_layout(layout: str) -> None:
    """Raises UsageError for a layout that there is not."""
    if layout not in LAYOUTS:
        raise UsageError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}.")


def divide(
    root: str, pictures: Iterable[PurePath], layout: str, not_read: NotRead
) -> dict[str, tuple[str, list[PurePath]]]:
    """The folder, "" for the root itself, and the pictures of each split there is.

    Without a folder of test images, those of a validation folder are the split "test"; beside one,
    they are the split "validation".

    Args:
        root: the root, for messages.
        pictures: paths relative to it; at least one.
        layout: "splits" if the folders directly below are splits where their names say so, and
            whatever is beside them is left out; "classes" if all are classes of one split;
            "auto" to go by the names.
        not_read: takes note of what is beside the splits.

    Raises:
        UsageError: an ambiguous layout, two folders for one split, or "splits" without any.
    """
    parts = {}
    for path in pictures:
        parts.setdefault(path.parts[0] if len(path.parts) > 1 else "", []).append(path)
    named = {name: split for name in parts if (split := _SPLITS.get(name.casefold()))}
    if layout == "auto":
        _check_names(root, parts, named)
    if layout == "classes" or (layout == "auto" and not named):
        return {"train": ("", [path for part in parts.values() for path in part])}
    if not named:
        raise UsageError(
            f"{root!r} holds no folder of pictures for a split, as train and test; leave out "
            "layout='splits'."
        )
    splits = {}
    for name, part in parts.items():
        split = named.get(name)
        if split is None:
            not_read.add("beside the splits", f"{name}{'/' if name else part[0]}", len(part))
        elif split in splits:
            raise UsageError(
                f"{root!r} holds {splits[split][0]}/ and {name}/, two folders for one split: "
                "rename one, or set layout='classes' if they are classes."
            )
        else:
            splits[split] = name, part
    if "test" not in splits and "validation" in splits:
        splits["test"] = splits.pop("validation")
    return splits


def _check_names(root, parts, named):
    """Refuses names that may be of splits and may be of classes."""
    others = [name for name in parts if name and name not in named]
    if named and others:
        raise UsageError(
            f"{root!r} holds {_list(named)} beside {_list(others)}, so that {_list(named)} may be "
            "a split or a class: set layout='splits' to read it alone as what its name says, or "
            "layout='classes' to read all as classes."
        )
    if named and "" in parts and "train" not in named.values():
        raise UsageError(
            f"{root!r} holds {_list(named)} beside {len(parts[''])} pictures in no folder: move "
            "those into train/, or set layout='splits' to leave them out."
        )
    if named:
        return
    # Splits one level too deep, as in an archive's own folder.
    for name in others:
        within = {p.parts[1] for p in parts[name] if len(p.parts) > 2}
        if splits := sorted(part for part in within if part.casefold() in _SPLITS):
            raise UsageError(
                f"{root!r} holds {_list(splits)} within {name}/: set path to that folder if they "
                f"are its splits, or layout='classes' to read {_list(others)} as the classes."
            )
    # Names that hold a split's, as train2017 and val2017.
    held = {name: {_SPLITS[w] for w in _words(name) if w in _SPLITS} for name in others}
    if len(others) > 1 and all(held.values()) and len(set().union(*held.values())) > 1:
        raise UsageError(
            f"{root!r} holds {_list(others)}, which look like splits: rename them to train/, val/ "
            "and test/, or set layout='classes' if they are classes."
        )


def _words(name):
    return re.findall(r"[a-z]+", name.casefold())


def _list(names):
    names = sorted(names)
    shown = [f"{name}/" for name in names[:3]] + ["..."] * (len(names) > 3)
    return ", ".join(shown)
