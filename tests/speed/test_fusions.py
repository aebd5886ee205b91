"""What XLA makes of functions and loops on CPUs, with the flags of `scoresde.configure()`."""

import json
import re

import pytest
from test_configure import child

CODE = """
import json
import jax, jax.numpy as jnp, optax
import scoresde
scoresde.configure("")
from scoresde import networks, training
from scoresde.networks import group_norm, layers
from scoresde.training import norms, update

layer, x = group_norm.GroupNorm(activation=layers.swish), jnp.ones((2, 8, 8, 16))
variables = layer.init(jax.random.key(0), x)

def of_two(variables, x):  # XLA inlines what is called once
    return jnp.sum(jnp.square(layer.apply(variables, layer.apply(variables, x))))

def changed(state, gradient):
    found = update.Found(jnp.float32(0), gradient, norms.global_norm(gradient), None, None)
    return update.one_by_one(optimizer, {"ema": training.EMA(rate=0.9)}, state, found)

optimizer = optax.chain(norms.clip_by_global_norm(1.0), optax.adam(1e-3))
params = {"large": jnp.ones((3, 3, 16, 8)), "other": jnp.ones((3, 3, 16, 8))}
state = training.create_state(jax.random.key(0), params, optimizer, {"ema": training.EMA(rate=0.9)})
print(json.dumps({
    "norms": jax.jit(jax.grad(of_two, (0, 1))).lower(variables, x).compile().as_text(),
    "update": jax.jit(changed, donate_argnums=0).lower(state, params).compile().as_text(),
}))
"""


@pytest.fixture(scope="module")
def programs():
    return json.loads(child(CODE, JAX_DISABLE_MOST_OPTIMIZATIONS="0"))


def test_no_loop_over_a_map_repeats_a_groups_mean(programs):
    """Such a loop would not be vectorized: what repeats is a function, which XLA fuses apart."""
    loops = re.findall(
        r"fused_computation[\w.]* \([^)]*\) -> f32\[2,8,8,16\] \{(.*?)\n\}", programs["norms"], re.S
    )
    assert len(loops) >= 4 and not any("f32[2,4]" in loop for loop in loops)
    assert "f32[2,4]" in programs["norms"]


def test_a_norms_activation_is_computed_again_for_its_derivative(programs):
    """Within the loop that needs it, each way: a layer keeps one map, less its mean."""
    exponentials = re.findall(r"f32\[2,8,8,16\]\S* exponential\(", programs["norms"])
    entry = programs["norms"].split("\nENTRY ")[1]
    assert len(exponentials) == 4 and "exponential" not in re.sub(r"metadata=.*", "", entry)


def test_an_update_computes_nothing_before_its_loops(programs):
    """What has to do with the gradient alone would be an array more, and two passes over it."""
    entry = programs["update"].split("\nENTRY ")[1]
    made = re.findall(r"= f32\[3,3,16,8\]\S* (\w+)\(", entry)
    assert set(made) <= {"parameter"}


def test_an_updates_clipping_takes_no_norm_again(programs):
    sums = re.findall(r"= f32\[\]\S* reduce\(", programs["update"])
    assert len(sums) == 2  # an array
