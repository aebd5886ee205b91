"""Evaluating a model on a data set: long runs that can be interrupted, and their error bars."""

from scoresde.evaluation.accuracy_figure import plot_accuracy
from scoresde.evaluation.bayes import class_posterior, class_shares, summarize_classes
from scoresde.evaluation.errors import StandardError, standard_error
from scoresde.evaluation.estimators import Estimate, Estimator
from scoresde.evaluation.figure import plot_likelihood
from scoresde.evaluation.levels_figure import plot_levels
from scoresde.evaluation.loop import in_passes
from scoresde.evaluation.summary import (
    per_image,
    summarize,
    summarize_baseline,
    summarize_importance,
)
from scoresde.jobs import Parts

__all__ = [
    "Estimate",
    "Estimator",
    "Parts",
    "StandardError",
    "class_posterior",
    "class_shares",
    "in_passes",
    "per_image",
    "plot_accuracy",
    "plot_levels",
    "plot_likelihood",
    "standard_error",
    "summarize",
    "summarize_baseline",
    "summarize_classes",
    "summarize_importance",
]
