"""RePaint: its schedule and its undone steps, against the original code, and what it is for."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import analytic, guidance, observations, samplers, sdes
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "guidance"


@pytest.mark.parametrize(
    "name, numbers",
    [
        ("paper_250_10_10", (250, 10, 10)),
        ("t10_jump3_n2", (10, 3, 2)),
        ("t12_jump2_n3", (12, 2, 3)),
        ("t8_jump1_n1", (8, 1, 1)),
        ("t9_jump1_n3", (9, 1, 3)),
        ("t20_jump5_n2_start12", (20, 5, 2, 12)),
    ],
)
def test_the_schedule_is_the_published_one(name, numbers):
    golden = np.load(GOLDEN / "repaint_schedules.npz")[name]
    np.testing.assert_array_equal(samplers.resampling_schedule(*numbers), golden)


def test_a_step_is_undone_as_in_the_original_code():
    golden = np.load(GOLDEN / "repaint_steps.npz")

    @dataclasses.dataclass(frozen=True)
    class Respaced(sdes.SDE):
        t_min: float = 0.0
        t_max: float = 249.0

        def alpha(self, t):
            return jnp.sqrt(jnp.asarray(golden["alphas_cumprod"]))[jnp.asarray(t, int)]

        def sigma(self, t):
            return jnp.sqrt(1 - jnp.asarray(golden["alphas_cumprod"]))[jnp.asarray(t, int)]

    rows = golden["undo_rows"]
    t = golden["undo_beta_index"]
    with jax.enable_x64(True):
        x, z = jnp.asarray(golden["x_nchw"][rows]), jnp.asarray(golden["undo_noise_nchw"][rows])
        undone = samplers.undo(x, z, jnp.asarray(t - 1), jnp.asarray(t), Respaced())
    np.testing.assert_allclose(undone, golden["undo_nchw"], atol=1e-5)


@pytest.mark.parametrize(
    "steps, jump_length, rounds", [(6, 3, 2), (7, 2, 3), (4, 10, 4), (4, 1, 1)]
)
def test_the_sampler_visits_the_times_of_the_schedule(steps, jump_length, rounds, key):
    visited = []

    def remember(keys, x, t, condition):
        visited.append(float(t))
        return x

    sde = sdes.VP()
    denoiser = analytic.gaussian(np.zeros(2), np.eye(2)).denoiser(sde)
    sampler = samplers.get("repaint", jump_length=jump_length, rounds=rounds)
    grid = np.linspace(1, 0.1, steps + 1, dtype=np.float32)
    with jax.disable_jit():
        drawn = samplers.sample(key, sampler, denoiser, (1, 2), grid=grid, constraint=remember)
    levels = samplers.resampling_schedule(steps + 1, jump_length, rounds)[1:-1]
    np.testing.assert_array_equal(np.float32(visited), grid[::-1][levels])
    down = (np.diff([steps, *levels]) < 0).sum()
    assert drawn.nfe.tolist() == [down + 1]


def test_its_rounds_take_bias_from_replacement(key):
    sde, num = sdes.VP(), 1000
    denoiser = analytic.gaussian(np.zeros(2), [[1, 0.9], [0.9, 1]]).denoiser(sde)
    observation = observations.Matrix(matrix=np.eye(2)[:1])
    means = []
    for rounds in (1, 8):
        sampler = samplers.get("repaint", jump_length=5, rounds=rounds)
        drawn = samplers.sample(
            key, sampler, denoiser, (num, 2), steps=150,
            condition={"observation": np.ones((num, 1))},
            constraint=guidance.Replacement(sde, observation),
        )  # fmt: skip
        means.append(float(drawn.x[:, 1].mean()))
    assert means[0] < 0.7  # 0.627 in the limit of small steps
    assert means[0] + 0.1 < means[1] < 0.95  # the truth is 0.9


def test_what_has_no_way_back_is_refused():
    with pytest.raises(UsageError, match="rounds must be at least 1"):
        samplers.get("repaint", rounds=0)
    with pytest.raises(UsageError, match="jump_length must be at least 1"):
        samplers.resampling_schedule(10, jump_length=0)
    with pytest.raises(UsageError, match="predictor"):
        samplers.RePaint(predictor=samplers.get("unipc"))
