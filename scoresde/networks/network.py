"""A backbone as the rest of the code sees it: two pure functions, init and apply."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.keys import one_key
from scoresde.networks import initializers
from scoresde.networks.call import call
from scoresde.networks.labels import check_labels
from scoresde.registry import UsageError, shown

Params = Any
"""A nested dictionary of float32 arrays."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of images, noise conditions and conditions, with its parameters outside of it.

    Networks of equal modules are equal and hash equally, so that they can be static arguments of
    `jax.jit` without compiling anew.

    Attributes:
        module: a linen module called as module(x, noise_condition, labels, train=...). If it has
            an attribute `stochastic`, that says whether training needs random numbers.
    """

    module: nn.Module

    def init(self, key: jax.Array, image_shape: tuple[int, int, int]) -> Params:
        """Draws the initial parameters, without running or compiling the network.

        Args:
            key: random key.
            image_shape: (height, width, channels).

        Returns:
            The parameters, fixed Fourier frequencies included.

        Raises:
            UsageError: the network cannot take images of this shape, or `key` is no random key.
        """
        key = one_key(key)
        variables = self._trace_init(image_shape)
        shapes, noted = variables["params"], variables.get(initializers.INITIALIZERS, {})
        if jax.tree.structure(shapes) != jax.tree.structure(noted, is_leaf=_is_initializer):
            # Parameters that Flax's own layers made have no initializers of ours.
            return self.module.lazy_init(key, *_arguments(image_shape))["params"]
        draw = functools.partial(initializers.draw, noted, shapes)
        key_data = jax.random.key_data(key)
        if isinstance(key_data, jax.core.Tracer):
            return jax.pure_callback(draw, shapes, key_data, vmap_method="sequential")
        return jax.tree.map(jnp.asarray, draw(key_data))

    def parameter_shapes(self, image_shape: tuple[int, int, int]) -> dict[str, Any]:
        """What `init` would return, as `jax.ShapeDtypeStruct`s, without any arithmetic.

        Unlike in the result of a JAX transformation, whose dictionaries are sorted, submodules
        stand in the order in which the network runs them.

        Args:
            image_shape: (height, width, channels).

        Raises:
            UsageError: the network cannot take images of this shape.
        """
        return self._trace_init(image_shape)["params"]

    def _trace_init(self, image_shape: tuple[int, int, int]) -> dict[str, Any]:
        """The module's variables at initialization as shapes, parameters in order of execution."""
        if not isinstance(image_shape, Sequence) or isinstance(image_shape, str):
            raise UsageError(
                f"image_shape is (height, width, channels), and not {shown(image_shape)}."
            )
        order = {}

        def trace(key, x, noise_condition):
            variables = self.module.init(key, x, noise_condition)
            order.update(dict.fromkeys(variables["params"]))
            return variables

        variables = jax.eval_shape(trace, jax.random.key(0), *_arguments(image_shape))
        shapes = variables["params"]
        return {**variables, "params": {name: shapes[name] for name in order}}

    def apply(
        self,
        params: Params,
        x: jax.Array,
        noise_condition: jax.Array,
        condition: Mapping[str, Any] | None = None,
        *,
        train: bool = False,
        rng: jax.Array | None = None,
    ) -> jax.Array:
        """The network's output.

        Args:
            params: parameters as returned by `init`.
            x: [batch, height, width, channels].
            noise_condition: [batch] or a scalar; what the network calls the noise level (sigma,
                999 t, an index, ...).
            condition: None, or what is known of each sample by name. "label", [batch] integer
                classes or [batch, classes] one-hot, is the module's argument `labels`; where it
                has `num_classes`, that number as a label stands for "no class", as leaving the
                label out does. Other names are those of further arguments that it takes. Names
                that it does not take are left to whoever else reads the condition, as guidance
                does.
            train: whether dropout and label dropout are active.
            rng: random key for them.

        Returns:
            float32 (float64 of a network that computes in it), of the shape of x; with several
            outputs a channel, all of the first ones first.

        Raises:
            UsageError: there are no parameters, or they are of another module or of images of other
                channels, training needs rng and there is none, a label that is none of the classes,
                or the module refuses its arguments.
        """
        if params is None:
            raise UsageError(
                "This network has no parameters, params=None: give it those of network.init(key, "
                "image_shape), or of a checkpoint."
            )
        if train and rng is None and getattr(self.module, "stochastic", False):
            raise UsageError(
                "This network drops activations or labels in training: pass apply(..., rng=key)."
            )
        dtype = jnp.promote_types(getattr(self.module, "dtype", jnp.float32), jnp.float32)
        noise_condition = jnp.broadcast_to(jnp.asarray(noise_condition, dtype), x.shape[:1])
        rngs = None if rng is None else {"dropout": rng}
        if not isinstance(condition, Mapping | None):
            raise UsageError(
                "A network's condition maps names to arrays, as {'label': labels}, and is not "
                f"a {type(condition).__name__}."
            )
        self.check_condition(condition)
        condition = condition or {}
        if "labels" in condition and "labels" not in self.condition_names:
            raise UsageError("The class of each sample is the condition 'label', not 'labels'.")
        further = {name: condition[name] for name in condition if name in self.condition_names}
        further.pop("label", None)
        labels = condition.get("label")
        arguments = x, noise_condition, labels
        return call(self.module, params, *arguments, train=train, rngs=rngs, **further)

    __call__ = apply

    @property
    def log_variance(self) -> Callable[[Params, jax.Array], jax.Array] | None:
        """(params, noise_condition [batch]) -> u [batch]; None where the module says nothing of it.

        u is the logarithm of the variance that the network expects of its error, at least float32.
        """
        if not hasattr(type(self.module), "log_variance"):
            return None
        return functools.partial(call, self.module, method="log_variance")

    def project(self, params: Params) -> Params:
        """The parameters as a step of training starts from them: those given, in most networks.

        A network whose parameters are under a constraint returns the nearest that obey it.

        Args:
            params: as of `apply`.
        """
        project = getattr(type(self.module), "project", None)
        return params if project is None else project(params)

    def check_condition(self, condition: Mapping[str, Any] | None) -> None:
        """Checks the values of a condition, as far as they are known, before they are arrays.

        Raises:
            UsageError: a label that is none of the classes, see `networks.labels.check_labels`.
        """
        num_classes = self.num_classes
        if num_classes and condition and condition.get("label") is not None:
            check_labels(condition["label"], num_classes)

    def absent(self, name: str, value: Any) -> jax.Array | None:
        """ "No class" for each of the labels `value`; None for another name or without classes."""
        if name != "label" or not self.num_classes:
            return None
        if jnp.ndim(value) == 2:
            return jnp.zeros_like(value)
        return jnp.full(jnp.shape(value), self.num_classes, jnp.int32)

    @property
    def num_classes(self) -> int | None:
        """The number of classes that the module says it knows; None if it says nothing."""
        return getattr(self.module, "num_classes", None)

    def condition_shapes(self, image_shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
        """Shapes, without the batch, of what the network needs in a condition beside the label."""
        shapes = getattr(self.module, "condition_shapes", None)
        return shapes(image_shape) if shapes else {}

    @property
    def condition_names(self) -> set[str]:
        """What a condition may hold for this network.

        "label", unless the module says that it knows no classes, and further arguments it takes.
        """
        parameters = set(inspect.signature(type(self.module).__call__).parameters)
        label = {"label"} if getattr(self.module, "num_classes", ...) is not None else set()
        return label | parameters - {"self", "x", "noise_condition", "labels", "train"}


def _arguments(image_shape: tuple[int, int, int]) -> tuple[jax.ShapeDtypeStruct, ...]:
    """The shapes of one image and its noise condition."""
    return (
        jax.ShapeDtypeStruct((1, *image_shape), jnp.float32),
        jax.ShapeDtypeStruct((1,), jnp.float32),
    )


def _is_initializer(node: Any) -> bool:
    return isinstance(node, initializers.Initializer)
