"""Finding a network's weights in a checkpoint, whatever wraps them.

Training scripts store a state dict under many names and prefix its entries with their own:

    {"model": {"module.all_modules.0.W": w, ...},                   score_sde_pytorch: averages
     "ema": {"shadow_params": [w, ...]}, "step": 1}                  in a list without names
    {"state_dict": {"model.all_modules.0.W": w, ...,                Lightning, with CompVis' LitEma
                    "model_ema.all_modules0W": w, ...}}
    {"n_averaged": 7, "module._orig_mod.all_modules.0.W": w, ...}   AveragedModel, compiled

A project's own names can be told from all that: a set of weights is what has them, below the same
keys and after the same prefix. The words of those keys and prefixes, the innermost first, say
whether a set is a moving average. What then has two meanings is refused (`averages`).
"""

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from scoresde.pretrained.stand_ins import StandIn, contents
from scoresde.registry import UsageError

WRAPPED = re.compile(r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What compiling and wrapping single modules puts inside of names."""

AVERAGED = {"ema", "emas", "swa", "avg", "average", "averages", "averaged", "shadow", "polyak"}
TRAINED = {"online", "raw", "current", "collected", "stored", "backup"}
OTHER = {"optimizer", "optimizers", "optim", "opt", "exp", "momentum", "grad", "grads", "scheduler"}
"""Words of keys that say what the weights below are; OTHER: that they are no network's."""

BOOKKEEPING = {"decay", "num_updates", "n_averaged", "initted", "step", "updates"}
"""What averages store beside their weights."""

PARTS = Mapping | list | tuple
"""What may have weights inside."""

MAX_DEPTH, MAX_NODES = 8, 200_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Naming:
    """How a project calls its weights.

    Attributes:
        project: its name.
        example: one of its names.
        own: matches, after the prefix and a dot, where one of its names begins.
        dotless: matches the same where an average has taken the dots out of the name.
        untrained: matches names of what is not trained and so has no average.
        buffers: matches those of them that are no parameters.
    """

    project: str
    example: str
    own: re.Pattern
    dotless: re.Pattern
    untrained: re.Pattern
    buffers: re.Pattern


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """A set of weights in a checkpoint.

    Attributes:
        where: the keys and the prefix that lead to it.
        kind: "averaged", "trained", or "" where nothing says which.
        arrays: by the project's own names, by those without dots, or in a list.
        form: "named", "dotless" or "list".
    """

    where: tuple[str, ...]
    kind: str
    arrays: Any
    form: str = "named"

    @property
    def averaged(self) -> bool:
        """Whether it is a moving average, as sets without proper names are."""
        return self.kind == "averaged" or self.form != "named"

    @property
    def label(self) -> str:
        """What a user calls it by."""
        return "/".join(self.where)


def kind_of(where: Iterable[str]) -> str:
    """What keys and prefixes, the innermost last, say of the weights below them."""
    for part in reversed(list(where)):
        words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part)}
        for kind, known in (("other", OTHER), ("averaged", AVERAGED), ("trained", TRAINED)):
            if words & known:
                return kind
    return ""


def _holds_parts(value: Any) -> bool:
    """Whether weights may be inside of a value; arrays of NumPy's are stand-ins as well."""
    return isinstance(value, PARTS | StandIn) and not is_array(value)


def is_array(value: Any) -> bool:
    """Whether a value is an array or a tensor."""
    return hasattr(value, "shape")


def collect(content: Any, naming: Naming) -> tuple[list[Weights], list[str]]:
    """The sets of weights in a checkpoint, and the names of all other arrays."""
    found: list[Weights] = []
    others: list[str] = []
    seen: set[int] = set()
    nodes = collections.deque([((), content)])
    while nodes:
        where, node = nodes.popleft()
        if id(node) in seen or len(where) > MAX_DEPTH:
            continue
        seen.add(id(node))
        if len(seen) > MAX_NODES:
            raise UsageError("The checkpoint has too many parts; save its state dict alone.")
        inside = contents(node)
        if inside and all(type(k) is int or (type(k) is str and k.isdecimal()) for k in inside):
            node, inside = list(inside.values()), None  # a list by its numbers
        if inside is None and isinstance(node, list | tuple):
            if node and all(is_array(value) for value in node):
                weights = any(value.shape for value in node)  # and no record of losses
                if weights and kind_of(where) == "averaged":
                    found.append(Weights(where=where, kind="averaged", arrays=node, form="list"))
                continue
            inside = {str(i): value for i, value in enumerate(node)}
        if inside is None:
            continue
        sets, rest = _sets(where, inside, naming)
        found += sets
        others += [name for name, value in rest.items() if is_array(value)]
        nodes += [
            ((*where, key if isinstance(key, str) else f"{type(key).__name__}"), value)
            for key, value in rest.items()
            if _holds_parts(value)
        ]
    # Lightning's WeightAveraging puts the averages into state_dict, and what that was elsewhere.
    if any(weights.where[0] == "current_model_state" for weights in found if weights.where):
        found = [
            dataclasses.replace(weights, kind="averaged")
            if weights.where[:1] == ("state_dict",) and not weights.kind
            else weights
            for weights in found
        ]
    return [weights for weights in found if weights.kind != "other"], others


def _sets(
    where: tuple[str, ...], inside: Mapping[Any, Any], naming: Naming
) -> tuple[list[Weights], dict[Any, Any]]:
    """The sets of weights in one mapping, each in its order, and what belongs to none."""
    names = {key: WRAPPED.sub("", key) for key in inside if isinstance(key, str)}
    places = {}
    for key, name in names.items():
        for form, pattern in (("named", naming.own), ("dotless", naming.dotless)):
            match = pattern.search(name)
            if match is not None and not isinstance(inside[key], PARTS):
                places[key] = (form, name[: match.start()])
                break
    groups = {place: {} for place in places.values()}
    rest = {}
    for key, value in inside.items():
        place = places.get(key)
        if place is None and key in names and not _holds_parts(value):
            place = _companion(names[key], groups)
        if place is None:
            rest[key] = value
        elif (short := names[key][len(place[1]) :]) not in BOOKKEEPING:
            groups[place][short] = value
    counted = [names[key][: -len("n_averaged")] for key in names if _counts(key)]
    sets = []
    for (form, prefix), arrays in groups.items():
        place = (*where, *(part for part in prefix.split(".") if part))
        averaged = any(prefix.startswith(f"{above}module.") for above in counted)
        kind = "averaged" if averaged else kind_of(place)
        sets.append(Weights(where=place, kind=kind, arrays=arrays, form=form))
    return sets, rest


def _companion(name: str, places: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """The set that a name with its prefix is of, though it is none of the project's own.

    So is a table of sigmas; and what no network has is found out by the set that it is in.
    """
    mine = [place for place in places if name.startswith(place[1])]
    closest = max(mine, key=lambda place: len(place[1]), default=None)
    return closest if closest is not None and closest[0] == "named" else None


def _counts(key: Any) -> bool:
    """Whether a key is AveragedModel's count of what it has averaged."""
    return isinstance(key, str) and key.rpartition(".")[2] == "n_averaged"
