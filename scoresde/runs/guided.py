"""Which classes are drawn, and how the denoiser is guided to them."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

from scoresde import guidance
from scoresde.denoiser import BaseDenoiser
from scoresde.experiment import Experiment
from scoresde.registry import UsageError, UsageWarning, shown


def guided(
    denoiser: BaseDenoiser, sections: Any, network: Mapping[str, Any]
) -> tuple[BaseDenoiser, list[dict[str, Any]]]:
    """The denoiser with these guidance methods around it, and their sections.

    Warns of classifier-free guidance where the network was never trained without its class.

    Args:
        denoiser: of the run.
        sections: None; a section of `guidance.GUIDANCE`; or a list of them, the outermost last.
        network: the network's section of the config.

    Raises:
        UsageError: no such section, or what the method refuses.
    """
    sections = [] if sections is None else sections
    sections = [sections] if isinstance(sections, Mapping) else list(sections)
    for section in sections:
        if not isinstance(section, Mapping) or "name" not in section:
            raise UsageError(
                "A guidance method is a section, as {'name': 'cfg', 'scale': 2.0}, not "
                f"{shown(section)}."
            )
        options = dict(section)
        name = options.pop("name")
        denoiser = guidance.get(name, denoiser, **options)
        if name == "cfg" and not network.get("label_dropout"):
            warnings.warn(
                "Classifier-free guidance is away from the model without the class, and this "
                "network was trained with it always: train with config.network.label_dropout=0.1.",
                UsageWarning,
                stacklevel=2,
            )
    return denoiser, [dict(section) for section in sections]


def requested_classes(
    experiment: Experiment, label: int | str | None, labels: str | None
) -> list[int]:
    """The classes that are drawn in turn.

    Args:
        experiment: whose classes they are.
        label: one class, its number or its name; or None.
        labels: "0-9", "3,5,7", "1-3,8" or names; or None. All classes if neither is given.

    Raises:
        UsageError: there is no such class, or the network is told none.
    """
    source = experiment.source
    if label is None and labels is None:
        return list(range(max(1, len(source.label_names))))
    if "label" not in experiment.condition:
        raise UsageError("A label needs a network trained with config.data.labels=True.")
    if label is not None:
        return [source.label_number(label)]
    classes = []
    for part in labels.split(","):
        part = part.strip()
        found = re.fullmatch(r"(\d+)-(\d+)", part)
        if found is None or part in source.label_names:
            classes.append(source.label_number(part))
            continue
        first, last = (source.label_number(end) for end in found.groups())
        if first > last:
            raise UsageError(f"The labels {part!r} go from the smaller to the larger number.")
        classes += range(first, last + 1)
    return classes
