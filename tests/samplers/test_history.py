"""What multistep samplers remember, and the order of a step that follows from it."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde.samplers.history import History


def test_the_newest_values_are_kept_and_combined_by_the_order_of_the_step(key):
    values = jax.random.normal(key, (4, 2))
    history = History.empty(values[0], 3, steps=5)
    weights = [[], [0.0], [0.0, 2.0], [0.0, 2.0, -1.0]]
    for number, value in enumerate(values):
        history = history.push(value, jnp.float32(0.3 * number))
        total = history.combine(0, history.order(3, False), weights)
        before = [values[number - back] - value for back in (1, 2)]
        expected = [0 * value, 2 * before[0], 2 * before[0] - before[1]][min(number, 2)]
        np.testing.assert_allclose(total, expected, rtol=1e-5)
    np.testing.assert_array_equal(history.values[::-1], values[1:])
    np.testing.assert_allclose(history.nodes, [0.9, 0.6, 0.3], rtol=1e-6)


def test_the_order_rises_with_the_values_and_falls_at_the_end_where_it_is_to():
    def orders(steps, largest, lower):
        history, found = History.empty(jnp.zeros(2), largest, steps), []
        for number in range(steps):
            history = history.push(jnp.zeros(2), jnp.float32(number))
            found.append(int(history.order(largest, lower)))
        return found

    assert orders(6, 3, False) == [1, 2, 3, 3, 3, 3]
    assert orders(6, 3, True) == [1, 2, 3, 3, 2, 1]
    assert orders(3, 3, True) == [1, 2, 1] and orders(2, 3, True) == [1, 1]
    assert orders(4, 2, True) == [1, 2, 2, 1]
