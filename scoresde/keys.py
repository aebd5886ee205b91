"""One random key per sample, so that results do not depend on how samples are batched.

Drawing noise for a whole batch from one key ties every sample to the batch size and to the
sharding of the batch. With a key of its own, sample number i gets the same noise whether it is
computed alone, in a batch of a thousand, or on another device. Here `keys` is always an array of
typed keys [batch], and every function treats each of its keys alone.
"""

import contextlib

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.registry import UsageError


def typed(key: Array) -> Array:
    """A random key, or an array of them, as typed keys; the old kind, uint32, is made one.

    Raises:
        UsageError: `key` is neither.
    """
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return key
    if dtype == jnp.uint32:
        with contextlib.suppress(TypeError, ValueError):  # not as many words as a key has
            return jax.random.wrap_key_data(key)
    given = repr(key) if dtype is None else f"an array of {dtype} and shape {key.shape}"
    raise UsageError(f"Random keys are made by jax.random.key(seed), and are not {given:.60}.")


def one_key(key: Array) -> Array:
    """One random key as a typed key.

    Raises:
        UsageError: it is none, or there are several.
    """
    key = typed(key)
    if key.ndim:
        raise UsageError(f"One random key is needed here, not keys of shape {key.shape}.")
    return key


def sample_keys(key: Array, batch: int, first: ArrayLike = 0) -> Array:
    """The keys of `batch` samples: typed keys [batch].

    One key per sample makes results independent of batch size and sharding: sample number i of a
    run always uses `jax.random.fold_in(key, i)`, wherever the batches are cut.

    Args:
        key: one key (`jax.random.key(seed)`), or an array of keys [batch], which are those.
        batch: the number of samples.
        first: the number of the first sample in the batch; ignored for an array of keys.

    Raises:
        UsageError: `key` is no random key, or an array of keys of another length.
    """
    key = typed(key)
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, first + jnp.arange(batch))
    if key.shape != (batch,):
        raise UsageError(
            f"{batch} samples need one key, or an array of {batch} keys, not keys of shape "
            f"{tuple(key.shape)}."
        )
    return key


def fold_in(keys: Array, number: ArrayLike) -> Array:
    """Folds one number (of a step, say) into each of the keys [batch]."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)


def split(keys: Array, count: int = 2) -> Array:
    """`count` independent arrays of keys: [count, batch], to be unpacked."""
    return jax.vmap(lambda key: jax.random.split(key, count), out_axes=1)(keys)


def normal(keys: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """Standard normal noise [shape], where shape[0] is the batch and row i comes from key i."""
    return jax.vmap(lambda key: jax.random.normal(key, shape[1:], dtype))(keys)
