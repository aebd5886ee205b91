"""How convolutions are computed on CPUs: in the order that XLA is quick at, or by fewer products.

A derivative of a convolution is a convolution of arrays in another order: that by the map has the
kernel's channels swapped, that by the kernel takes samples for channels. XLA's CPU backend brings
them into its own order in a program's main function alone. In a loop, as a sampler's or that over
parts of a batch, it leaves its quick programs for slow ones, 4 to 40 times slower; there they are
transposed beforehand.

Large 3x3 convolutions, of which XLA makes direct ones where cuDNN would choose minimal filtering,
are filtered: forward, in forward mode, and in the derivative by the map, where the kernel is turned
around. Only where it saves much, since each takes longer to compile, most of all in a training
step, which has hundreds; and on few cores, where it was measured. Rounding errors of feature maps
are as large as before; of what differs widely from pixel to pixel they are not (`winograd`), and
with `precision="highest"`, or `jax_default_matmul_precision`, convolutions stay as they are.

XLA has no flag for either, so that JAX is told here.
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


def choose_convolutions() -> Setting:
    """Sets it where JAX runs on CPUs alone; says what it did. Imports JAX."""

    def setting(value, why):
        return Setting("convolutions", value, why)

    if refused():
        return setting("", f"{REFUSAL}={os.environ[REFUSAL]}")
    if reason := why_not_cpu_alone():
        return setting("", reason)
    from jax import lax
    from jax._src.lax import convolution  # the rule that is replaced has no public name
    from jax.interpreters import mlir

    direct = getattr(convolution, "_conv_general_dilated_lower", None)
    if direct is None or _COMPLEX not in inspect.signature(direct).parameters:
        return setting("", "this JAX makes convolutions another way")
    few = cores_are_few()  # XLA spreads its own over all; a row of tiles has four products
    rule = functools.partial(_lower, functools.partial(direct, **{_COMPLEX: True}), few)
    # Made where it stands, and not once for all that are alike: where matters.
    mlir.register_lowering(lax.conv_general_dilated_p, rule, platform="cpu", cacheable=False)
    return setting(
        "in XLA's order" + (", F(2x2, 3x3) where it pays" if few else ""),
        f"scoresde: quick in loops, too; {REFUSAL}=0 leaves them",
    )


_COMPLEX = "expand_complex_convolutions"  # as JAX has it for CPUs


def _lower(direct: Any, few: bool, context: Any, x: Any, kernel: Any, **options: Any) -> Any:
    """JAX's rule for a convolution on CPUs, `direct`, or another."""
    from jax.interpreters import mlir

    if few and _is_worth_it(context, options):
        another = functools.partial(_filtered, options["dimension_numbers"])
    elif _is_out_of_order(context, options):
        another = functools.partial(_in_order, **options)
    else:
        return direct(context, x, kernel, **options)
    return mlir.lower_fun(another, multiple_results=False)(context, x, kernel)


def _filtered(numbers: Any, x: Any, kernel: Any) -> Any:
    """A convolution of [batch, height, width, channels], whatever the kernel's order."""
    from scoresde.speed import winograd

    features, channels, *taps = numbers.rhs_spec
    return winograd.convolution(x, kernel.transpose(*taps, channels, features))


def _in_order(x: Any, kernel: Any, *, dimension_numbers: Any, **options: Any) -> Any:
    """The same of [batch, ..., channels] with [..., channels, features]."""
    from jax import lax

    (batch, channel, *pixels), (out, of, *taps), result = dimension_numbers
    y = lax.conv_general_dilated_p.bind(
        x.transpose(batch, *pixels, channel),
        kernel.transpose(*taps, of, out),
        dimension_numbers=_in_xlas_order(x.ndim),
        **options,
    )
    # Where in y what is n-th in the result is.
    where = dict(zip(result, (0, x.ndim - 1, *range(1, x.ndim - 1))))
    return y.transpose([where[axis] for axis in range(x.ndim)])


def _in_xlas_order(ndim: int) -> Any:
    from jax import lax

    maps = 0, ndim - 1, *range(1, ndim - 1)
    return lax.ConvDimensionNumbers(maps, (ndim - 1, ndim - 2, *range(ndim - 2)), maps)


def _is_out_of_order(context: Any, options: dict[str, Any]) -> bool:
    try:
        x, _ = context.avals_in
        # JAX has its own way with complex numbers, and asks for the sharding of every operation's
        # result where axes of a mesh are explicit.
        return (
            options["dimension_numbers"] != _in_xlas_order(x.ndim)
            and not _is_in_main()
            and str(x.dtype) in ("float16", "bfloat16", "float32", "float64")
            and not _is_explicit(context)
        )
    except Exception:  # whatever is unexpected in what others convolve is left to JAX
        return False


def _is_in_main() -> bool:
    """Whether what is being made is in no loop, branch or function of the program."""
    from jaxlib.mlir import ir

    around = ir.InsertionPoint.current.block.owner.attributes
    return "sym_name" in around and str(around["sym_name"]) == '"main"'


def _is_explicit(context: Any) -> bool:
    from jax.sharding import AxisType

    return any(AxisType.Explicit in a.sharding.mesh.axis_types for a in context.avals_in)


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
        and not _is_explicit(context)
    )
