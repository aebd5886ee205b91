"""Sub-chains of a trained chain: the published ones, and what a step along them is."""

import jax
import numpy as np
import pytest

from scoresde import analytic, samplers, sdes
from scoresde.registry import UsageError
from scoresde.times import make_grid, respaced_grid, respaced_levels

PUBLISHED = {
    (1000, "ddim25"): (25, [0, 40, 80], [920, 960]),
    (1000, "ddim50"): (50, [0, 20, 40], [960, 980]),
    (1000, "ddim250"): (250, [0, 4, 8], [992, 996]),
    (1000, "250"): (250, [0, 4, 8], [999]),
    (1000, "50"): (50, [0, 20, 41, 61], [999]),
    (1000, "10,15,20"): (45, [0, 37, 74], [999]),
    (4000, "250"): (250, [0, 16, 32], [3999]),
    (10, "10"): (10, [0, 1, 2], [8, 9]),
    (10, "1"): (1, [0], [0]),
}


@pytest.mark.parametrize(("levels", "spacing"), PUBLISHED)
def test_the_levels_are_the_published_ones(levels, spacing):
    count, first, last = PUBLISHED[levels, spacing]
    found = respaced_levels(levels, spacing)
    assert len(found) == count and (np.diff(found) > 0).all()
    assert found[: len(first)].tolist() == first and found[-len(last) :].tolist() == last


def test_sections_follow_one_another():
    found = respaced_levels(1000, "10,15,20")
    assert (found[:10] < 334).all() and ((found[10:25] >= 334) & (found[10:25] < 667)).all()


def test_a_section_may_be_left_out_as_the_published_samplers_allow():
    assert respaced_levels(12, "2,0,3").tolist() == [0, 3, 8, 10, 11]


@pytest.mark.parametrize(
    "spacing", ["", "ddim", "ten", "0", "0,0", "ddim0", "10,,3", "-5", "ddim7", "11", "6,6"]
)
def test_other_spacings_are_one_line(spacing):
    with pytest.raises(UsageError) as error:
        respaced_levels(10, spacing)
    assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="has no levels to leave out"):
        respaced_grid(sdes.VP(), "5")


def test_a_respaced_grid_is_one_by_its_name_and_knows_its_steps():
    sde = sdes.DiscreteCosine(num_scales=10)
    for spacing, levels in (("4", [0, 3, 6, 9]), (4, [0, 3, 6, 9]), ("ddim5", [0, 2, 4, 6, 8])):
        grid = make_grid(sde, None, {"name": "respaced", "spacing": spacing})
        np.testing.assert_allclose(grid, np.array(levels[::-1]) / 9, rtol=1e-6)
    with pytest.raises(UsageError, match="of 4 times has 3 steps, not 9"):
        make_grid(sde, 9, {"name": "respaced", "spacing": "4"})
    with pytest.raises(UsageError, match="has no levels to leave out"):
        make_grid(sdes.VP(), None, {"name": "respaced", "spacing": "4"})


@pytest.mark.parametrize("spacing", ["ddim50", "100", "20,40"])
def test_a_respaced_chain_samples_the_data(spacing):
    """The closed form: with its exact denoiser a Gaussian is drawn, up to the steps' length."""
    sde = sdes.DiscreteVP(num_scales=1000)
    data = analytic.gaussian(np.array([0.5]), np.array([[0.3]]))
    grid = respaced_grid(sde, spacing)
    drawn = samplers.sample(
        jax.random.key(0), samplers.get("ddim"), data.denoiser(sde), (4096, 1), grid=grid
    )
    assert drawn.nfe[0] in (len(grid) - 1, len(grid))
    assert abs(drawn.x.mean() - 0.5) < 0.04 and abs(drawn.x.var() - 0.3) < 0.05
