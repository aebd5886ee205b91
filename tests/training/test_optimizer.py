"""Optimizers against hand-written NumPy."""

import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde.registry import UsageError
from scoresde.training import OPTIMIZERS, make_optimizer, make_schedule, schedule_of


def gradients(count):
    """Gradients whose global norm lies now above, now below 1."""
    rng = np.random.default_rng(0)
    scales = [3.0, 0.1, 1.0, 10.0, 0.01, 0.5]
    return [
        {name: scales[i % 6] * rng.normal(size=shape) for name, shape in SHAPES.items()}
        for i in range(count)
    ]


SHAPES = {"a": (3, 2), "b": (4,)}


def run(optimizer, params, gradients):
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)
    state = optimizer.init(params)
    for gradient in gradients:
        gradient = jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def numpy_adam(params, gradients, *, rate, warmup, clip, beta1, beta2, eps, decay):
    params = {name: p.copy() for name, p in params.items()}
    m = {name: np.zeros_like(p) for name, p in params.items()}
    v = {name: np.zeros_like(p) for name, p in params.items()}
    for n, gradient in enumerate(gradients):
        if clip is not None:
            norm = np.sqrt(sum(np.sum(g**2) for g in gradient.values()))
            gradient = {name: g * clip / max(norm, clip) for name, g in gradient.items()}
        step_rate = rate * (min(n / warmup, 1.0) if warmup else 1.0)
        for name, g in gradient.items():
            m[name] = beta1 * m[name] + (1 - beta1) * g
            v[name] = beta2 * v[name] + (1 - beta2) * g**2
            m_hat = m[name] / (1 - beta1 ** (n + 1))
            v_hat = v[name] / (1 - beta2 ** (n + 1))
            step = m_hat / (np.sqrt(v_hat) + eps) + decay * params[name]
            params[name] = params[name] - step_rate * step
    return params


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(1)
    return {name: rng.normal(size=shape) for name, shape in SHAPES.items()}


@pytest.mark.parametrize(
    ("warmup", "clip", "decay"),
    [(5, 1.0, 0.0), (0, 1.0, 0.0), (5, None, 0.0), (5, 0.3, 0.1)],
)
def test_adam_with_warmup_and_clipping(params, warmup, clip, decay):
    options = {"beta1": 0.8, "beta2": 0.95, "eps": 1e-3}
    optimizer = make_optimizer(
        "adam", 0.02, warmup=warmup, gradient_clip=clip, weight_decay=decay, **options
    )
    found = run(optimizer, params, gradients(12))
    want = numpy_adam(
        params, gradients(12), rate=0.02, warmup=warmup, clip=clip, decay=decay, **options
    )
    for name in SHAPES:
        np.testing.assert_allclose(found[name], want[name], rtol=0, atol=1e-6)


def test_the_defaults_are_those_of_score_sde():
    """Adam(2e-4, 0.9, 0.999, 1e-8), warm-up of 5000 from 0, clipping at 1."""
    # From 0, since next to parameters of size 1 float32 has no digits for steps of size 1e-7.
    params = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    found = run(make_optimizer(), params, gradients(12))
    want = numpy_adam(
        params,
        gradients(12),
        rate=2e-4,
        warmup=5000,
        clip=1.0,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        decay=0.0,
    )
    for name in SHAPES:
        # In float32, the bias correction 1 - 0.999 is good to four digits.
        np.testing.assert_allclose(found[name], want[name], rtol=1e-4, atol=1e-11)
    rate = make_schedule(2e-4, warmup=5000)
    assert [float(rate(n)) for n in (0, 2500, 5000, 10**6)] == pytest.approx([0, 1e-4, 2e-4, 2e-4])


@pytest.mark.parametrize("clip", [None, 0.0, -1.0])
def test_clipping_can_be_off(clip):
    optimizer = make_optimizer("sgd", 1.0, warmup=0, gradient_clip=clip)
    updates, _ = optimizer.update(jnp.array([30.0, 40.0]), optimizer.init(jnp.zeros(2)))
    np.testing.assert_allclose(updates, [-30.0, -40.0])


def test_clipping_scales_by_the_global_norm():
    optimizer = make_optimizer("sgd", 1.0, warmup=0, gradient_clip=2.0)
    gradient = {"a": jnp.array([30.0]), "b": jnp.array([40.0])}
    updates, _ = optimizer.update(gradient, optimizer.init(gradient))
    np.testing.assert_allclose(updates["a"], [-1.2], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [-1.6], rtol=1e-6)


def test_cosine_schedule():
    rate = make_schedule(0.1, warmup=10, schedule="cosine", num_steps=110)
    steps = [0, 5, 10, 35, 60, 110, 200]
    want = [0.0, 0.05, 0.1, 0.05 * (1 + np.cos(np.pi / 4)), 0.05, 0.0, 0.0]
    np.testing.assert_allclose([rate(n) for n in steps], want, atol=1e-8)


def test_linear_schedule():
    rate = make_schedule(0.1, warmup=10, schedule="linear", num_steps=110)
    want = [0.0, 0.05, 0.1, 0.075, 0.0, 0.0]
    np.testing.assert_allclose([rate(n) for n in (0, 5, 10, 35, 110, 200)], want, atol=1e-8)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends(name):
    """A quadratic with a matrix, a kernel and a bias loses nine tenths of its value."""
    optimizer = make_optimizer(name, 0.05, warmup=0)
    rng = np.random.default_rng(0)
    params = {
        "matrix": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32),
        "kernel": jnp.asarray(rng.normal(size=(2, 2, 3, 4)), jnp.float32),
        "bias": jnp.asarray(rng.normal(size=(4,)), jnp.float32),
    }

    def loss(params):
        return sum(jnp.sum(p**2) for p in jax.tree.leaves(params))

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state, before = optimizer.init(params), loss(params)
    for _ in range(200):
        params, state = step(params, state)
    assert loss(params) < 0.1 * before


def test_muon_orthogonalizes_matrices_and_kernels_and_leaves_biases_to_adam():
    optimizer = make_optimizer("muon", 1.0, warmup=0, gradient_clip=None)
    rng = np.random.default_rng(0)
    gradient = {
        "matrix": jnp.asarray(rng.normal(size=(8, 4)), jnp.float32),
        "kernel": jnp.asarray(rng.normal(size=(2, 2, 3, 5)), jnp.float32),
        "bias": jnp.asarray([1.0, -2.0, 3.0], jnp.float32),
    }
    params = jax.tree.map(jnp.zeros_like, gradient)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    for name, shape in (("matrix", (8, 4)), ("kernel", (12, 5))):
        singular = np.linalg.svd(np.reshape(updates[name], shape), compute_uv=False)
        # An orthogonal update times 0.2 sqrt(longer side) has RMS 0.2; Newton-Schulz is rough.
        np.testing.assert_allclose(singular, 0.2 * np.sqrt(shape[0]), rtol=0.35)
    first = 1.0 + 0.9 * 0.1 / (1 - 0.9**2)  # Nesterov's look-ahead in Adam's first step
    np.testing.assert_allclose(updates["bias"], [-first, first, -first], rtol=1e-5)


def test_an_optimizer_of_ones_own(params):
    optimizer = make_optimizer("optax:sgd", 0.5, warmup=0, gradient_clip=None)
    found = run(optimizer, params, gradients(1))
    np.testing.assert_allclose(found["b"], params["b"] - 0.5 * gradients(1)[0]["b"], rtol=1e-6)


def test_the_rate_that_is_logged_is_the_one_of_the_update(params):
    """Of plain gradient descent, whose updates are the gradient times it."""
    rule = {"name": "optax:sgd", "gradient_clip": None}
    for options in (
        {"learning_rate": 0.5, "warmup": 2},
        {"warmup": 1, "schedule": "linear", "num_steps": 6},
    ):
        optimizer, rate = make_optimizer(**rule, **options), schedule_of(rule | options, 99)
        state = optimizer.init(params)
        for made in range(4):
            updates, state = optimizer.update(jax.tree.map(jnp.ones_like, params), state, params)
            np.testing.assert_allclose(-updates["b"], rate(made), rtol=1e-6)
    assert schedule_of({"schedule": "cosine", "warmup": 0}, 10)(10) == pytest.approx(0, abs=1e-9)
    assert schedule_of({})(5000) == pytest.approx(2e-4)  # the defaults


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "adm"}, "Did you mean 'adam'"),
        ({"name": "sgd", "beta2": 0.9}, "has no option 'beta2'"),
        ({"schedule": "line"}, "Known: constant, cosine, linear"),
        ({"schedule": "cosine"}, "needs num_steps > warmup"),
        ({"schedule": "cosine", "num_steps": 100, "warmup": 100}, "num_steps=100, warmup=100"),
        ({"learning_rate": -1.0}, "cannot be negative"),
        ({"warmup": -1}, "cannot be negative"),
        ({"learning_rate": math.nan}, "cannot be negative"),
        ({"gradient_clip": "nan"}, "gradient_clip must be a number, not 'nan'"),
        ({"gradient_clip": math.nan}, "gradient_clip is the largest norm, or None; got nan"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        make_optimizer(**options)


def test_the_inverse_square_root_is_edm2s():
    """lr = reference / sqrt(max(n / 70 000, 1)), with a ramp over 10 million images."""
    with np.load(pathlib.Path(__file__).parent.parent / "data/golden/edm2_parts.npz") as golden:
        images, expected = golden["lr/nimg_f64"], golden["lr/value_f64"]
    batch = 2048
    schedule = make_schedule(0.01, 10_000_000 / batch, "inverse_sqrt", decay_steps=70_000)
    found = [schedule(count) for count in images / batch]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"schedule": "inverse_sqrt"}, "decay_steps.*needs it"),
        ({"schedule": "constant", "decay_steps": 3}, "is of the schedule 'inverse_sqrt'"),
        ({"schedule": "inverse_sqrt", "decay_steps": 0}, "must be positive, not 0"),
    ],
)
def test_steps_of_decay_are_of_the_inverse_square_root(options, message):
    with pytest.raises(UsageError, match=message):
        make_schedule(0.01, **options)
