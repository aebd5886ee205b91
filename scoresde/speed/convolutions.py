"""3x3 convolutions of wide maps, which XLA computes directly on CPUs, by minimal filtering.

cuDNN does it on GPUs. XLA has no flag for it, so that JAX is told here what to make of a
convolution on CPUs: forward, in forward mode, and in the derivative by the map, where the kernel is
turned around. Only where it saves much, since each takes longer to compile, most of all in a
training step, which has hundreds; and on few cores, where it was measured. Rounding errors of
feature maps are as large as before; of what differs widely from pixel to pixel they are not
(`winograd`), and with `precision="highest"`, or `jax_default_matmul_precision`, convolutions stay
as they are.
"""

import functools
import inspect
import math
import os
from typing import Any

from scoresde.speed.platforms import cores_are_few, why_not_cpu_alone
from scoresde.speed.setting import REFUSAL, Setting, refused

# The fewest channels, and products of numbers that one tap of the kernel has in a batch, from which
# it is quicker, and by enough to be worth its compilation: in a training step only the largest.
CHANNELS, PRODUCTS, TRAINING_PRODUCTS = 64, 2**26, 2**28

# The name of a training step's program. One of another name is none, also one that calls the step.
TRAINING = "training_step"


def filter_minimally() -> Setting:
    """Sets it where JAX runs on CPUs alone; says what it did. Imports JAX."""

    def setting(value, why):
        return Setting("convolutions", value, why)

    if refused():
        return setting("", f"{REFUSAL}={os.environ[REFUSAL]}")
    if reason := why_not_cpu_alone():
        return setting("", reason)
    if not cores_are_few():  # XLA spreads its own over all; a row of tiles has four products
        return setting("", "more than four cores")
    from jax import lax
    from jax._src.lax import convolution  # the rule that is replaced has no public name
    from jax.interpreters import mlir

    direct = getattr(convolution, "_conv_general_dilated_lower", None)
    if direct is None or _COMPLEX not in inspect.signature(direct).parameters:
        return setting("", "this JAX makes convolutions another way")
    rule = functools.partial(_lower, functools.partial(direct, **{_COMPLEX: True}))
    mlir.register_lowering(lax.conv_general_dilated_p, rule, platform="cpu")
    return setting(
        "F(2x2, 3x3) where it pays",
        f"scoresde: large ones by fewer products; {REFUSAL}=0 leaves them",
    )


_COMPLEX = "expand_complex_convolutions"  # as JAX has it for CPUs


def _lower(direct: Any, context: Any, x: Any, kernel: Any, **options: Any) -> Any:
    if not _is_worth_it(context, options):
        return direct(context, x, kernel, **options)
    from jax.interpreters import mlir

    from scoresde.speed import winograd

    features, channels, *taps = options["dimension_numbers"].rhs_spec
    as_hwio = (*taps, channels, features)

    def filtered(x, kernel):
        return winograd.convolution(x, kernel.transpose(as_hwio))

    return mlir.lower_fun(filtered, multiple_results=False)(context, x, kernel)


def _is_worth_it(context: Any, options: dict[str, Any]) -> bool:
    try:
        program = context.module_context.module.operation.attributes["sym_name"]
        products = TRAINING_PRODUCTS if TRAINING in str(program) else PRODUCTS
        return _is_plain_and_large(context, options, products)
    except Exception:  # whatever is unexpected in what others convolve is left to JAX
        return False


def _is_plain_and_large(context: Any, options: dict[str, Any], products: int) -> bool:
    import numpy as np  # which a short command need not wait for
    from jax import lax
    from jax.sharding import AxisType

    x, kernel = context.avals_in
    (y,) = context.avals_out
    numbers = options["dimension_numbers"]
    nhwc = (0, 3, 1, 2)
    if x.ndim != 4 or numbers.lhs_spec != nhwc or numbers.out_spec != nhwc:
        return False
    plain = {
        "window_strides": (1, 1),
        "padding": ((1, 1), (1, 1)),
        **{"lhs_dilation": (1, 1), "rhs_dilation": (1, 1)},
        **{"feature_group_count": 1, "batch_group_count": 1},
    }
    height, width = x.shape[1:3]
    if not all(isinstance(length, int) for length in (*x.shape, *kernel.shape)):
        return False  # exported for any batch
    return (
        all(np.array_equal(options[name], value) for name, value in plain.items())
        and lax.Precision.HIGHEST not in (options["precision"] or ())
        and {str(array.dtype) for array in (x, kernel, y)} == {"float32"}
        and tuple(kernel.shape[axis] for axis in numbers.rhs_spec[2:]) == (3, 3)
        and height % 2 == 0
        and width % 2 == 0
        and min(x.shape[-1], y.shape[-1]) >= CHANNELS
        and math.prod(x.shape) * y.shape[-1] >= products
        # Over several devices XLA splits convolutions; what it would make of the loop is unknown.
        and getattr(context.module_context.axis_context, "num_devices", None) == 1
        # Nor has the loop's every operation a sharding that JAX could tell by itself.
        and not any(AxisType.Explicit in a.sharding.mesh.axis_types for a in (x, kernel))
    )
