"""Which classes are drawn, and how the denoiser is guided to them."""

import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

from scoresde import guidance
from scoresde.denoiser import BaseDenoiser
from scoresde.experiment import Experiment
from scoresde.registry import UsageError, UsageWarning, shown
from scoresde.runs.classifier import check_same, trained_classifier
from scoresde.runs.other_model import other_model

# Options that are a model, and may be given as the run that trained it.
_MODELS = {"classifier": "--classifier", "weaker": "--weak"}

# Methods whose `low` and `high` are, if nothing is said, the range of the run's data.
_RANGED = ("clip", "dynamic_thresholding")


def guided(
    denoiser: BaseDenoiser, sections: Any, network: Mapping[str, Any], experiment: Experiment
) -> tuple[BaseDenoiser, list[dict[str, Any]]]:
    """The denoiser with these guidance methods around it, and their sections, of a step each.

    Warns of classifier-free guidance where the network was never trained without its class.

    Args:
        denoiser: of the run.
        sections: None; a section of `guidance.GUIDANCE`; or a list of them, the outermost last. A
            classifier, or a weaker model, may be that of a run, see `scoresde.runs.other_model`.
        network: the network's section of the config.
        experiment: of the run.

    Raises:
        UsageError: no such section or run, or what the method refuses.
    """
    sections = [] if sections is None else sections
    sections = [sections] if isinstance(sections, Mapping) else list(sections)
    sections = [_pinned(section) for section in sections]
    for section in sections:
        options = dict(section)
        name = options.pop("name")
        for option in _MODELS.keys() & options.keys():
            if isinstance(options[option], str):
                options[option] = _model(option, options[option], denoiser, experiment)
        if name in guidance.POSTERIORS and "observation" not in options:
            raise UsageError(
                f"The guidance {name!r} is by an observation: give picture files to `scoresde "
                f"restore` or `inpaint` with --method {name}, in Python the option 'observation'."
            )
        if name in _RANGED and (limits := experiment.codec_without_data.data_range):
            options = {"low": limits[0], "high": limits[1], **options}
        denoiser = guidance.get(name, denoiser, **options)
        if name == "cfg" and not network.get("label_dropout"):
            warnings.warn(
                "Classifier-free guidance is away from the model without the class, and this "
                "network was trained with it always: train with config.network.label_dropout=0.1.",
                UsageWarning,
                stacklevel=2,
            )
    return denoiser, sections


def _pinned(section: Any) -> dict[str, Any]:
    """The section, with the step of another run's model that is its latest one now."""
    if not isinstance(section, Mapping) or "name" not in section:
        raise UsageError(
            "A guidance method is a section, as {'name': 'cfg', 'scale': 2.0}, not "
            f"{shown(section)}."
        )
    section = dict(section)
    for option, flag in _MODELS.items():
        if isinstance(section.get(option), str | os.PathLike):
            section[option] = str(other_model(str(section[option]), flag))
    return section


def _model(option, reference, denoiser, experiment):
    """The classifier or the weaker denoiser that a run has trained."""
    if option == "classifier":
        return trained_classifier(reference, experiment)
    model = other_model(reference, _MODELS[option])
    check_same(reference, model.run.experiment, experiment)
    return model.denoiser(denoiser.sde.t_min)


def requested_classes(
    experiment: Experiment, label: int | str | None, labels: str | None, known: bool = False
) -> list[int]:
    """The classes that are drawn in turn.

    Args:
        experiment: whose classes they are.
        known: whether a guidance reads the class, though the network does not.
        label: one class, its number or its name; or None.
        labels: "0-9", "3,5,7", "1-3,8" or names; or None. All classes if neither is given.

    Raises:
        UsageError: there is no such class, or the network is told none.
    """
    source = experiment.source
    if label is None and labels is None:
        return list(range(max(1, len(source.label_names))))
    if "label" not in experiment.condition and not known:
        raise UsageError(
            "A label needs a network trained with config.data.labels=True, or a classifier."
        )
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
