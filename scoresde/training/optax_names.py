"""Optax's own optimizers and learning-rate schedules, by optax's names and arguments.

An optimizer here is a function of `optax` or `optax.contrib` whose first argument is a learning
rate. The train step gives an update the gradient, the optimizer's state, the parameters and the
loss (`value`): what asks for more, as a line search does for the loss as a function, is refused.

An optimizer that evaluates other parameters than it trains, as the schedule-free ones do, is
sampled from by the averages of those that it trains.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scoresde import registry


def _functions(is_one: Callable[[str, list[str]], bool]) -> dict[str, Callable]:
    """Optax's functions that `is_one` says yes to, of their names and arguments' names."""
    table = {}
    for module in (optax.contrib, optax):
        for name, function in sorted(vars(module).items()):
            public = inspect.isfunction(function) and not name.startswith("_")
            if public and is_one(name, list(inspect.signature(function).parameters)):
                table[name] = function
    return table


OPTAX_OPTIMIZERS = _functions(
    lambda name, arguments: (
        arguments[:1] in (["learning_rate"], ["max_learning_rate"])
        and not name.startswith("scale_by_")
    )
)
"""Those that need more than the train step has are here, too, and refused when they are made."""

OPTAX_SCHEDULES = _functions(
    lambda name, arguments: (
        (name.endswith("_schedule") and not name.startswith("scale_by_"))
        or name == "exponential_decay"
    )
)

# After an update at the learning rate 0 their parameters are no numbers.
_NOT_FROM_ZERO = ("dadapt_adamw", "prodigy")

# What the learning rate is called, the first of them that a schedule has.
_RATES = ("peak_value", "init_value", "value")


def optax_optimizer(
    name: str, learning_rate: optax.ScalarOrSchedule, **options: Any
) -> optax.GradientTransformation:
    """The optimizer that optax calls `name`.

    Args:
        name: a key of `OPTAX_OPTIMIZERS`.
        learning_rate: its first argument, whatever it is called.
        **options: its other arguments.

    Raises:
        UsageError: an unknown name or option, options that it refuses, an update that needs what
            the train step has not, or a learning rate of 0 that it divides by.
    """
    function = registry.member("optimizer", OPTAX_OPTIMIZERS, name)
    options[next(iter(inspect.signature(function).parameters))] = learning_rate
    remedy = ""
    if name in _NOT_FROM_ZERO and callable(learning_rate) and float(learning_rate(0)) == 0:
        raise registry.UsageError(
            f"The optimizer {name!r} divides by its learning rate, which is 0 at the first step of "
            "a warm-up: set warmup=0."
        )
    if callable(learning_rate):
        remedy = " If it takes no schedule, set warmup=0 and schedule='constant'."
    try:
        rule = registry.make("optimizer", OPTAX_OPTIMIZERS, name, **options)
        jax.eval_shape(lambda: _update(rule))
    except registry.UsageError as error:
        if isinstance(error.__cause__, TypeError):  # optax's, not of a name that is wrong
            raise registry.UsageError(f"{error}{remedy}") from error.__cause__
        raise
    except Exception as error:  # of whatever kind optax raises
        reason = registry.first_line(error).rstrip(".")
        raise registry.UsageError(
            f"The optimizer {name!r} cannot be used like this: {reason}.{remedy}"
        ) from error
    return rule


def _update(rule: optax.GradientTransformation) -> None:
    """One update of a few parameters, with all that the train step gives."""
    params = {"kernel": jnp.ones((3, 3, 2, 4)), "matrix": jnp.ones((4, 3)), "bias": jnp.ones(2)}
    state = rule.init(params)
    _, after = with_loss(rule).update(params, state, params, value=jnp.ones(()))
    before, after = (jax.tree.map(_kind, tree) for tree in (state, after))
    if before != after:
        raise ValueError("its state changes its shape from step to step")


def _kind(leaf: Any) -> tuple:
    return jnp.shape(leaf), str(getattr(leaf, "dtype", type(leaf)))


def with_loss(rule: optax.GradientTransformation) -> optax.GradientTransformationExtraArgs:
    """The same, whose update may be given the loss as `value`, whether it asks for it or not."""
    return optax.with_extra_args_support(rule)


def optax_schedule(learning_rate: float, section: Mapping[str, Any]) -> optax.Schedule:
    """The schedule that optax calls section["name"], of the section's other values.

    Args:
        learning_rate: its `peak_value`, `init_value` or `value`, if the section leaves that out.
        section: {"name": a key of `OPTAX_SCHEDULES` or `package.module:Name`, argument: value}.

    Raises:
        UsageError: an unknown name or argument, one that is missing, or values that it refuses.
    """
    options = dict(section)
    name = options.pop("name", None)
    function = registry.lookup("learning-rate schedule", OPTAX_SCHEDULES, name)
    rates = [key for key in _RATES if key in inspect.signature(function).parameters]
    if rates:
        options.setdefault(rates[0], learning_rate)
    try:
        if isinstance(options.get("boundaries_and_scales"), Mapping):  # a config's keys are text
            given = options["boundaries_and_scales"]
            options["boundaries_and_scales"] = {int(step): scale for step, scale in given.items()}
        schedule = registry.make("learning-rate schedule", OPTAX_SCHEDULES, name, **options)
        rate = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
        if jnp.shape(rate) != ():
            raise ValueError(f"it gives an array of shape {jnp.shape(rate)}, not a number")
    except registry.UsageError:
        raise
    except Exception as error:
        raise registry.UsageError(
            f"The learning-rate schedule {name!r} cannot be used like this: "
            f"{registry.first_line(error).rstrip('.')}."
        ) from error
    return schedule
