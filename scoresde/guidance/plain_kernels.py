"""Convolutions as XLA's CPU backend is quick at them: of kernels [height, width, in, out].

The derivative of a convolution by its input is a convolution with the kernel's channels swapped.
JAX says so in the dimension numbers, and within a loop, as a sampler's, the CPU backend then leaves
its quick programs for a slow one. The same convolution of a kernel that is transposed beforehand,
which is small, is as quick as the forward one.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import Array, lax
from jax.extend import core

# Where (out, in, height, width) are in a kernel [height, width, in, out].
_PLAIN = (3, 2, 0, 1)


def with_plain_kernels(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, on CPUs with its two-dimensional convolutions of plain kernels; elsewhere f itself.

    It computes the same, and is differentiated and mapped over as f is.
    """
    if jax.default_backend() != "cpu":
        return f

    def plain(*arguments):
        closed, shape = jax.make_jaxpr(f, return_shape=True)(*arguments)
        leaves = _evaluate(closed, *jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return plain


def _evaluate(closed: core.ClosedJaxpr, *arguments: Array) -> list[Array]:
    """The program's results, its convolutions replaced."""
    jaxpr = closed.jaxpr
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*closed.consts, *arguments)))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    for equation in jaxpr.eqns:
        given, primitive = [read(atom) for atom in equation.invars], equation.primitive
        if primitive is lax.conv_general_dilated_p:
            found = [_convolution(*given, **equation.params)]
        elif primitive.name in ("jit", "pjit"):
            found = _evaluate(equation.params["jaxpr"], *given)
        else:
            bound = primitive.get_bind_params(equation.params)
            # Some versions of JAX hand out functions beside the options.
            functions, params = bound if isinstance(bound, tuple) else ((), bound)
            found = primitive.bind(*functions, *given, **params)
            found = found if primitive.multiple_results else [found]
        values.update(zip(equation.outvars, found))
    return [read(atom) for atom in jaxpr.outvars]


def _convolution(x: Array, kernel: Array, *, dimension_numbers: Any, **options: Any) -> Array:
    where = dimension_numbers.rhs_spec
    if kernel.ndim == 4 and where != _PLAIN:
        kernel = kernel.transpose(where[2], where[3], where[1], where[0])
        dimension_numbers = dimension_numbers._replace(rhs_spec=_PLAIN)
    options = {"dimension_numbers": dimension_numbers, **options}
    return lax.conv_general_dilated_p.bind(x, kernel, **options)
