"""The distributions from which initial parameters are drawn, on the host.

NumPy draws tens of millions of parameters in a second, where JAX would first compile a program for
every shape. The numbers depend on the key and the parameter's path alone: they are the same on
every platform and under every transformation.
"""

import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

INITIALIZERS = "initializers"
"""The collection in which modules note how each parameter is initialized."""


class Initializer:
    """A distribution of parameters: `draw(generator, shape)`; equal ones are equal objects."""

    def draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        """A float32 array of this shape."""
        raise TypeError(f"{type(self).__name__} must say how it is drawn.")

    def __call__(self, key: jax.Array, shape: Sequence[int]) -> jax.Array:
        """The same as a JAX function of a random key, the form in which Flax calls it."""
        return jax.pure_callback(
            lambda seed: self.draw(np.random.default_rng(np.asarray(seed)), shape),
            jax.ShapeDtypeStruct(tuple(shape), np.float32),
            jax.random.key_data(key),
            vmap_method="sequential",
        )


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Constant(Initializer):
    """Every parameter equals `value`."""

    value: float = 0.0

    def draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        return np.full(shape, self.value, np.float32)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Normal(Initializer):
    """N(mean, std^2)."""

    std: float = 1.0
    mean: float = 0.0

    def draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        return np.float32(self.mean) + self.std * generator.standard_normal(shape, np.float32)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class SymmetricUniform(Initializer):
    """Uniform on (-bound, bound)."""

    bound: float

    def draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        return np.float32(self.bound) * (2 * generator.random(shape, np.float32) - 1)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class ScaledUniform(Initializer):
    """Uniform on (-a, a) with a = sqrt(3 scale / fan), for weights [..., inputs, outputs].

    Attributes:
        scale: variance times fan; 0 stands for 1e-10, which keeps a layer silent at the start yet
            lets its gradient tell the outputs apart.
        fan: "average", the mean of fan-in and fan-out (Glorot and Bengio 2010; DDPM, NCSN++), or
            "in".
    """

    scale: float = 1.0
    fan: str = "average"

    def bound(self, shape: Sequence[int]) -> float:
        """The bound a for weights of this shape."""
        *receptive, inputs, outputs = shape
        fan = (inputs + outputs) / 2 if self.fan == "average" else inputs
        return math.sqrt(3 * (self.scale or 1e-10) / (fan * math.prod(receptive)))

    def draw(self, generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        return SymmetricUniform(self.bound(shape)).draw(generator, shape)


PYTORCH = ScaledUniform(1 / 3, "in")
"""PyTorch's default for kernels: uniform within 1 / sqrt(fan-in)."""


def parameter(
    module: nn.Module, name: str, initializer: Initializer, shape: Sequence[int]
) -> jax.Array:
    """The module's parameter of this name; notes its initializer when the module is initialized."""
    shape = tuple(shape)
    if module.is_initializing():
        module.put_variable(INITIALIZERS, name, initializer)
    else:
        # Flax's own look-up traces the initializer, for every parameter, to know the shape it has.
        value = module.get_variable("params", name)
        if value is not None and value.shape == shape:
            return value
    return module.param(name, initializer, shape)


def draw(
    initializers: Mapping[str, Any], shapes: Mapping[str, Any], key_data: Any
) -> dict[str, Any]:
    """Draws every parameter of a tree.

    Args:
        initializers: nested dictionaries of initializers.
        shapes: the same of `jax.ShapeDtypeStruct`s.
        key_data: integers of a random key, as `jax.random.key_data` gives them.

    Returns:
        Nested dictionaries of float32 arrays.
    """
    entropy = [int(word) for word in np.asarray(key_data).ravel()]

    def visit(initializers, shapes, path: tuple[str, ...]):
        if isinstance(initializers, Mapping):
            return {name: visit(initializers[name], shapes[name], (*path, name)) for name in shapes}
        seed = [*entropy, zlib.crc32("/".join(path).encode())]
        return initializers.draw(np.random.default_rng(seed), shapes.shape)

    return visit(initializers, shapes, ())
