"""Optimizers: gradient clipping, then an update rule with a learning-rate schedule."""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scoresde import plain, registry
from scoresde.training.norms import clip_by_global_norm
from scoresde.training.optax_names import (
    OPTAX_OPTIMIZERS,
    OPTAX_SCHEDULES,
    optax_optimizer,
    optax_schedule,
)


def adam(
    learning_rate: optax.ScalarOrSchedule,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba, 2015); a `weight_decay` is decoupled (Loshchilov and Hutter, 2019).

    Args:
        learning_rate: a number, or a schedule.
        beta1: decay of the mean of the gradient.
        beta2: decay of the mean of its square.
        eps: added to the root of that.
        weight_decay: share of the parameters that goes at each update, times the learning rate.
    """
    return optax.adamw(learning_rate, b1=beta1, b2=beta2, eps=eps, weight_decay=weight_decay)


def adamw(
    learning_rate: optax.ScalarOrSchedule,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> optax.GradientTransformation:
    """Adam with decoupled weight decay on by default (Loshchilov and Hutter, 2019).

    Args:
        learning_rate: a number, or a schedule.
        beta1: decay of the mean of the gradient.
        beta2: decay of the mean of its square.
        eps: added to the root of that.
        weight_decay: share of the parameters that goes at each update, times the learning rate.
    """
    return optax.adamw(learning_rate, b1=beta1, b2=beta2, eps=eps, weight_decay=weight_decay)


def sgd(
    learning_rate: optax.ScalarOrSchedule, momentum: float = 0.0, nesterov: bool = False
) -> optax.GradientTransformation:
    """Stochastic gradient descent, with momentum if it is not 0.

    Args:
        learning_rate: a number, or a schedule.
        momentum: decay of the sum of gradients that is followed.
        nesterov: whether the gradient counts twice in it.
    """
    return optax.sgd(learning_rate, momentum=momentum or None, nesterov=nesterov)


def lion(
    learning_rate: optax.ScalarOrSchedule,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Lion (Chen et al., 2023): the sign of an interpolated momentum.

    Args:
        learning_rate: a number, or a schedule.
        beta1: the momentum's share in the interpolation.
        beta2: decay of the momentum.
        weight_decay: share of the parameters that goes at each update, times the learning rate.
    """
    return optax.lion(learning_rate, b1=beta1, b2=beta2, weight_decay=weight_decay)


def muon(
    learning_rate: optax.ScalarOrSchedule,
    momentum: float = 0.95,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024): orthogonalized momentum for matrices, Nesterov Adam for the rest.

    A kernel of more than two axes counts as a matrix from all but its last axis to the last one.
    Updates are scaled to an RMS of 0.2 (Liu et al., 2025), so that one learning rate on Adam's
    scale serves both groups.

    Args:
        learning_rate: a number, or a schedule.
        momentum: decay of the momentum of the matrices.
        beta1: of Adam.
        beta2: of Adam.
        eps: of both.
        weight_decay: share of the parameters that goes at each update, times the learning rate.
    """

    def dimension_numbers(params: Any) -> Any:
        def of_leaf(leaf: jax.Array) -> optax.contrib.MuonDimensionNumbers | None:
            if leaf.ndim < 2:
                return None
            return optax.contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

        return jax.tree.map(of_leaf, params)

    return optax.contrib.muon(
        learning_rate,
        beta=momentum,
        eps=eps,
        weight_decay=weight_decay,
        adam_b1=beta1,
        adam_b2=beta2,
        adam_weight_decay=weight_decay,
        muon_weight_dimension_numbers=dimension_numbers,
        consistent_rms=0.2,
    )


OPTIMIZERS = {"adam": adam, "adamw": adamw, "sgd": sgd, "lion": lion, "muon": muon}

ELEMENTWISE = ("adam", "adamw", "sgd", "lion")
"""Those that update each number by its own gradient, whatever array it is in."""

SCHEDULES = ("constant", "cosine", "linear", "inverse_sqrt")

TO_THE_END = ("cosine", "linear")
"""Those that depend on the length of the run."""


def make_schedule(
    learning_rate: float,
    warmup: int = 0,
    schedule: str | Mapping[str, Any] = "constant",
    num_steps: int | None = None,
    decay_steps: int | None = None,
) -> optax.Schedule:
    """The learning rate as a function of the number n of updates already made.

    Args:
        learning_rate: its peak.
        warmup: number of updates W; the rate is multiplied by min(n / W, 1). 0 switches it off.
        schedule: "constant", or "cosine" for a half cosine and "linear" for a line from the peak,
            at the end of the warm-up, to 0 at `num_steps`; or "inverse_sqrt", which multiplies
            by 1 / sqrt(max(n / decay_steps, 1)) and so has no end (Karras et al. 2024,
            arXiv:2312.02696); or one of optax's by its name and arguments,
            {"name": "exponential_decay", "transition_steps": 1000, "decay_rate": 0.9}, which is
            multiplied by the warm-up too. `learning_rate` is what it starts from or rises to,
            where that is not among the arguments.
        num_steps: length of the run in updates; "cosine" and "linear" need it.
        decay_steps: number of updates after which "inverse_sqrt" begins to fall.

    Raises:
        UsageError: unknown schedule or argument, a negative rate or warm-up, two warm-ups, or no
            room to go down in.
    """
    if isinstance(schedule, Mapping) and schedule.keys() == {"name"}:
        schedule = schedule["name"]
    by_name = isinstance(schedule, str) and schedule in OPTAX_SCHEDULES
    section = {"name": schedule} if by_name else schedule
    if not isinstance(section, Mapping) and schedule not in SCHEDULES:
        hint = registry.closest(str(schedule), [*SCHEDULES, *OPTAX_SCHEDULES])
        raise registry.UsageError(
            f"Unknown learning-rate schedule {schedule!r}.{hint} Known: {', '.join(SCHEDULES)}; "
            f"or a section of one of optax's, of {', '.join(sorted(OPTAX_SCHEDULES))}."
        )
    if learning_rate is None or warmup is None:
        raise registry.UsageError("The learning rate and warmup must be numbers; 0 is no warm-up.")
    plain.check("The learning rate", learning_rate, float)
    plain.check("The warmup", warmup, float)
    if not (learning_rate >= 0 and warmup >= 0):  # nor nan
        raise registry.UsageError(
            f"The learning rate ({learning_rate}) and warmup ({warmup}) cannot be negative."
        )
    if (schedule == "inverse_sqrt") != (decay_steps is not None):
        raise registry.UsageError(
            "decay_steps, the updates after which the learning rate begins to fall, is of the "
            f"schedule 'inverse_sqrt', which needs it; got schedule={schedule!r}, "
            f"decay_steps={decay_steps}."
        )
    if decay_steps is not None:
        plain.check("decay_steps", decay_steps, float)
        if not decay_steps > 0:
            raise registry.UsageError(f"decay_steps must be positive, not {decay_steps}.")
    if isinstance(section, Mapping):
        scheduled = optax_schedule(learning_rate, section)
        if warmup and "warmup" in str(section["name"]):
            raise registry.UsageError(
                f"The learning-rate schedule {section['name']!r} has a warm-up of its own: set "
                f"warmup=0, which is {warmup}."
            )
        if not warmup:
            return scheduled
        return lambda count: scheduled(count) * jnp.minimum(count / warmup, 1.0)
    if schedule in TO_THE_END and (num_steps is None or num_steps <= warmup):
        raise registry.UsageError(
            f"The {schedule} schedule needs num_steps > warmup; got num_steps={num_steps}, "
            f"warmup={warmup}."
        )

    def rate(count: jax.Array) -> jax.Array:
        ramp = jnp.minimum(count / warmup, 1.0) if warmup else 1.0
        if schedule == "constant":
            return learning_rate * ramp
        if schedule == "inverse_sqrt":
            return learning_rate * ramp / jnp.sqrt(jnp.maximum(count / decay_steps, 1.0))
        progress = jnp.clip((count - warmup) / (num_steps - warmup), 0.0, 1.0)
        if schedule == "linear":
            return learning_rate * ramp * (1.0 - progress)
        return learning_rate * ramp * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))

    return rate


def make_optimizer(
    name: str = "adam",
    learning_rate: float = 2e-4,
    *,
    warmup: int = 5000,
    gradient_clip: float | None = 1.0,
    schedule: str | Mapping[str, Any] = "constant",
    num_steps: int | None = None,
    decay_steps: int | None = None,
    **options: Any,
) -> optax.GradientTransformation:
    """Clips the gradient by its global norm, then applies the rule called `name`.

    The defaults are those of Song et al. (2021): Adam with learning rate 2e-4 min(n / 5000, 1)
    after n updates, on gradients g c / max(|g|, c) with c = 1.

    Args:
        name: a key of `OPTIMIZERS`; another optimizer of optax by optax's name, of
            `OPTAX_OPTIMIZERS`; or `package.module:Name` of a function that takes `learning_rate`
            and returns an `optax.GradientTransformation`, as "optax:adam" is optax's own.
        learning_rate: peak learning rate.
        warmup: number of updates over which the learning rate rises linearly from 0; 0 is off.
        gradient_clip: largest global norm c; None or a value <= 0 is off.
        schedule: see `make_schedule`.
        num_steps: see `make_schedule`.
        decay_steps: see `make_schedule`.
        **options: the rule's own: for "adam" `beta1`, `beta2`, `eps`, `weight_decay`; for one of
            optax's what optax calls them.

    Raises:
        UsageError: unknown name, schedule or option, or numbers out of range.
    """
    rate = make_schedule(learning_rate, warmup, schedule, num_steps, decay_steps)
    if isinstance(name, str) and name in OPTAX_OPTIMIZERS and name not in OPTIMIZERS:
        steady = schedule == "constant" and not warmup  # some of them take a number alone
        rule = optax_optimizer(name, learning_rate if steady else rate, **options)
    else:
        known = OPTAX_OPTIMIZERS | OPTIMIZERS  # for what is said of a name that is in neither
        rule = registry.make("optimizer", known, name, learning_rate=rate, **options)
    if gradient_clip is None:
        return rule
    plain.check("gradient_clip", gradient_clip, float)
    if math.isnan(gradient_clip):
        raise registry.UsageError("gradient_clip is the largest norm, or None; got nan.")
    if gradient_clip <= 0:
        return rule
    return optax.chain(clip_by_global_norm(gradient_clip), rule)


def schedule_of(options: Mapping[str, Any], num_steps: int | None = None) -> optax.Schedule:
    """The learning rate by the number of updates made, as `make_optimizer(**options)` has it.

    Args:
        options: of `make_optimizer`.
        num_steps: of the run, where they do not say it.
    """
    options = {"num_steps": num_steps, **options}
    of_rule = inspect.signature(make_optimizer).parameters
    names = inspect.signature(make_schedule).parameters
    return make_schedule(**{name: options.get(name, of_rule[name].default) for name in names})
