"""Integrals along the solution of an ordinary differential equation, by the solver that steps it.

With dy/dt = f(t, y) and dq/dt = g(t, y), a Runge-Kutta pair steps (y, q). It needs g at those
stages alone to which it gives a weight, in the solution or in the estimate of its error; the others
only lead to later stages, and f knows nothing of q. dopri5 gives its second stage of seven none,
bs5 that of eight, dopri8 four of fourteen. For a likelihood, g is the traces: most of the cost.
"""

from typing import ClassVar

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


@jax.custom_batching.custom_vmap
def _same_for_all(flag: Array) -> Array:
    """A flag that all samples of a batch share: for a batch it is one flag, not one a sample.

    Else `cond` would evaluate both of its branches. Where the flag is set for one sample alone (its
    first step was refused), all evaluate a slope again that they know, which changes nothing.
    """
    return flag


@_same_for_all.def_vmap
def _of_a_batch(axis_size, in_batched, flag):
    return jnp.any(flag), False


class WithIntegrals(diffrax.AbstractAdaptiveSolver):
    """The steps of an explicit pair, the last stage of which is the next step's first.

    The arguments of the term are (args, weighted): whether the stage has a weight. Where it has
    none, the term's dq/dt is not used.

    Attributes:
        pair: the pair.
    """

    pair: diffrax.AbstractERK

    term_structure: ClassVar = diffrax.ODETerm
    interpolation_cls: ClassVar = diffrax.LocalLinearInterpolation

    def order(self, terms):
        return self.pair.order(terms)

    def func(self, terms, t0, y0, args):
        return terms.vf(t0, y0, args)

    def init(self, terms, t0, t1, y0, args):
        return jnp.array(True), jax.tree.map(jnp.zeros_like, y0)

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        tableau, (args, _) = self.pair.tableau, args
        number = np.arange(tableau.num_stages)
        rows = np.zeros((len(number), len(number)))
        for i, row in enumerate(tableau.a_lower, start=1):
            rows[i, :i] = row
        nodes = np.concatenate([[0.0], tableau.c])
        weighted = (tableau.b_sol != 0) | (tableau.b_error != 0) | (number == number[-1])
        is_first, known = solver_state
        is_first, control = _same_for_all(is_first), terms.contr(t0, t1)

        def combine(weights, slopes):
            def weigh(k):
                # Accelerators would round the factors of a product to fewer bits.
                exact = jax.lax.Precision.HIGHEST
                return jnp.tensordot(weights.astype(k.dtype), k, 1, precision=exact)

            return terms.prod(jax.tree.map(weigh, slopes), control)

        def stage(slopes, inputs):
            number, row, node, weighted = inputs

            def new_slope():
                y = jax.tree.map(jnp.add, y0, combine(row, slopes))
                return terms.vf(t0 + node * (t1 - t0), y, (args, weighted))

            slope = jax.lax.cond((number > 0) | is_first, new_slope, lambda: known)
            return jax.tree.map(lambda all, k: all.at[number].set(k), slopes, slope), None

        slopes = jax.tree.map(lambda y: jnp.zeros((len(number), *y.shape), y.dtype), y0)
        inputs = number, rows, nodes.astype(jnp.result_type(t0)), weighted
        slopes, _ = jax.lax.scan(stage, slopes, inputs)
        y1 = jax.tree.map(jnp.add, y0, combine(tableau.b_sol, slopes))
        error = combine(tableau.b_error, slopes)
        state = jnp.array(False), jax.tree.map(lambda k: k[-1], slopes)
        return y1, error, {"y0": y0, "y1": y1}, state, diffrax.RESULTS.successful
