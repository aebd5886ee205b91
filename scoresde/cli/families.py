"""The families of components, and how one is listed."""

import importlib
import inspect
from typing import NamedTuple

from scoresde.registry import member


class Family(NamedTuple):
    """A family of components.

    Attributes:
        words: what its members are.
        module: where its table is; imported when it is listed.
        table: the table's name there.
    """

    words: str
    module: str
    table: str


FAMILIES = {
    "augmentations": Family(
        "what is done to training images and told", "scoresde.augmentations", "AUGMENTATIONS"
    ),
    "averages": Family("averages of the parameters", "scoresde.training", "AVERAGES"),
    "bounds": Family("lower bounds on the log-likelihood", "scoresde.likelihood", "BOUNDS"),
    "classifiers": Family("classifiers of noisy images", "scoresde.networks", "CLASSIFIERS"),
    "codecs": Family("the way of an image to x and back", "scoresde.codecs", "CODECS"),
    "correctors": Family("correctors of PC samplers", "scoresde.samplers", "CORRECTORS"),
    "decoders": Family(
        "the mass of a level's bin in a bound", "scoresde.likelihood", "GAUSSIAN_DECODERS"
    ),
    "dequantizers": Family("dequantizers", "scoresde.dequantization", "DEQUANTIZERS"),
    "features": Family("features of images", "scoresde.metrics.features", "EXTRACTORS"),
    "final_denoisings": Family("what is done with the last noise", "scoresde.samplers", "FINALS"),
    "grids": Family("grids of times", "scoresde.times", "GRIDS"),
    "guidance": Family("denoisers that wrap a denoiser", "scoresde.guidance", "GUIDANCE"),
    "likelihoods": Family(
        "log-likelihoods, exact or bounded", "scoresde.likelihood", "LIKELIHOODS"
    ),
    "masks": Family("random masks", "scoresde.degradations", "MASKS"),
    "measures": Family("measures of images by their features", "scoresde.quality", "MEASURES"),
    "metrics": Family("distances between sets of samples", "scoresde.metrics", "METRICS"),
    "networks": Family("networks", "scoresde.networks", "NETWORKS"),
    "objectives": Family("training objectives", "scoresde.losses", "OBJECTIVES"),
    "observations": Family("what is observed of x_0", "scoresde.observations", "OBSERVATIONS"),
    "ode_methods": Family("Runge-Kutta pairs", "scoresde.ode", "METHODS"),
    "optax_optimizers": Family(
        "optimizers by optax's names", "scoresde.training", "OPTAX_OPTIMIZERS"
    ),
    "optax_schedules": Family(
        "learning-rate schedules by optax's names", "scoresde.training", "OPTAX_SCHEDULES"
    ),
    "optimizers": Family("optimizers", "scoresde.training", "OPTIMIZERS"),
    "predictions": Family("what a network predicts", "scoresde.predictions", "PREDICTIONS"),
    "predictors": Family("predictors of PC samplers", "scoresde.samplers", "PREDICTORS"),
    "reductions": Family("of a sample's loss over its dimensions", "scoresde.losses", "REDUCTIONS"),
    "samplers": Family("samplers", "scoresde.samplers", "SAMPLERS"),
    "restorations": Family(
        "how samples are made to have an observation", "scoresde.runs.restoring", "METHODS"
    ),
    "sdes": Family("forward processes", "scoresde.sdes", "SDES"),
    "sources": Family("data sets", "scoresde.data", "SOURCES"),
    "time_distributions": Family("training times", "scoresde.times", "DISTRIBUTIONS"),
    "time_inputs": Family("how a network is told t", "scoresde.predictions", "TIME_INPUTS"),
    "traces": Family("estimators of a trace", "scoresde.likelihood", "TRACES"),
    "variances": Family("variances of a reverse step", "scoresde.variances", "VARIANCES"),
    "weightings": Family("weightings of the loss", "scoresde.losses", "WEIGHTINGS"),
}


def describe(family: str, options: bool) -> None:
    """Prints the members of a family, the first line of each docstring beside its name.

    Args:
        family: a name of FAMILIES.
        options: whether the options of each and their defaults are printed too.

    Raises:
        UsageError: there is no such family.
    """
    found = member("family", FAMILIES, family)
    table = getattr(importlib.import_module(found.module), found.table)
    width = max(map(len, table))
    for name, component in table.items():
        print(f"{name:{width}}  {inspect.getdoc(component).splitlines()[0]}")
        if options:
            for option, parameter in inspect.signature(component).parameters.items():
                if parameter.kind is parameter.VAR_KEYWORD:  # of its parts, listed on their own
                    continue
                required = parameter.default is inspect.Parameter.empty
                print(f"{'':{width}}    {option}{'' if required else f' = {parameter.default!r}'}")
