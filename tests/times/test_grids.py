"""Grids decrease and end exactly; what is none is refused."""

import jax
import numpy as np
import pytest

from scoresde import sdes, times
from scoresde.registry import UsageError


@pytest.mark.parametrize("name", [name for name in times.GRIDS if name != "respaced"])
@pytest.mark.parametrize("sde", [sdes.VP(), sdes.SubVP(), sdes.VE(), sdes.EDM(), sdes.Cosine()])
def test_named_grids_decrease_between_the_exact_ends(name, sde):
    grid = np.asarray(times.make_grid(sde, 37, name))
    assert len(grid) == 38 and (np.diff(grid) < 0).all()
    assert grid[0] == np.float32(sde.t_max) and grid[-1] == np.float32(sde.t_min)


class Cubic:
    """A grid of one's own: equal steps in the cube root of t."""

    def __init__(self, power=3):
        self.power = power

    def __call__(self, sde, steps):
        ends = sde.t_max ** (1 / self.power), sde.t_min ** (1 / self.power)
        return np.linspace(*ends, steps + 1) ** self.power


def test_a_grid_is_given_by_name_by_section_or_as_an_object():
    sde = sdes.VP()
    for same in (
        ("edm", {"name": "edm"}, times.EDMGrid(), times.EDMGrid(rho=7.0)),
        ({"name": "edm", "rho": 5.0}, times.EDMGrid(rho=5.0)),
        (f"{__name__}:Cubic", {"name": f"{__name__}:Cubic", "power": 3}, Cubic()),
        ("quadratic", times.QuadraticGrid(), Cubic(power=2)),
        (None, "uniform", times.UniformGrid(), np.linspace(1.0, 1e-5, 10)),
        ("log_snr", times.LogSNRGrid()),
    ):
        grids = [times.make_grid(sde, 9, grid) for grid in same]
        for grid in grids[1:]:
            np.testing.assert_allclose(grid, grids[0], rtol=2e-4)
    assert (
        abs(times.make_grid(sde, 9, "edm") - times.make_grid(sde, 9, times.EDMGrid(rho=5.0)))[4]
        > 0.01
    )


@pytest.mark.parametrize(
    "grid, message",
    [
        ({"name": "edm", "roh": 5}, "no option 'roh'. Did you mean 'rho'"),
        ({"rho": 5}, "has no name"),
        ({"name": "edm", "rho": 0}, "rho > 0"),
        (times.EDMGrid, "given as a class"),
        ("builtins:dict", "must be a name"),
        (lambda sde, steps: np.ones(3), "must give 10 times for 9 steps"),
        (lambda sde, steps: np.ones(steps + 1), "strictly decreasing"),
    ],
)
def test_what_is_no_grid_is_refused(grid, message):
    with pytest.raises(UsageError, match=message):
        times.make_grid(sdes.VP(), 9, grid)


def test_what_is_traced_is_a_grid_without_being_checked():
    given = jax.jit(lambda t: times.make_grid(sdes.VP(), None, [1.0, t, 1e-3]))(0.5)
    np.testing.assert_allclose(given, [1.0, 0.5, 1e-3], rtol=1e-6)
    edm = jax.jit(lambda rho: times.make_grid(sdes.VP(), 9, times.EDMGrid(rho=rho)))(5.0)
    expected = times.make_grid(sdes.VP(), 9, times.EDMGrid(rho=5.0))
    np.testing.assert_allclose(edm, expected, rtol=1e-4)
    with pytest.raises(UsageError, match="must be known before a program is compiled"):
        jax.jit(lambda steps: times.make_grid(sdes.VP(), steps, "edm"))(9)


@pytest.mark.parametrize("sde, name", [(sdes.VP(), "uniform"), (sdes.EDM(), "edm")])
def test_the_default_grid_is_the_process_s(sde, name):
    np.testing.assert_array_equal(times.make_grid(sde, 9, None), times.make_grid(sde, 9, name))


def test_edm_grid_is_karras_schedule():
    sigma_min, sigma_max, rho, n = 0.002, 80.0, 7, 18
    i = np.arange(n)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    sigma = (high + i / (n - 1) * (low - high)) ** rho
    np.testing.assert_allclose(times.make_grid(sdes.EDM(), n - 1, "edm"), sigma, rtol=1e-4)


@pytest.mark.parametrize(
    "steps, grid",
    [(None, None), (0, None), (2.5, None), ("9", None), (5, "triangular"), (3, [1.0, 0.5]),
     (None, [0.1, 0.5]), (None, [2.0, 0.5]), (None, [0.5, 0.0]), (None, [0.5]),
     (None, [0.5, np.nan])],
)  # fmt: skip
def test_grids_that_do_not_run_down_within_the_process_are_refused(steps, grid):
    with pytest.raises(UsageError):
        times.make_grid(sdes.VP(), steps, grid)


def test_an_infinite_log_snr_is_refused_where_a_grid_needs_it():
    with pytest.raises(UsageError, match="lower t_max"):
        times.make_grid(sdes.RectifiedFlow(), 10, "edm")


def test_equal_steps_in_log_snr_begin_after_zero_snr():
    flow = sdes.RectifiedFlow()
    grid = times.make_grid(flow, 5, {"name": "log_snr", "zero_snr_to": -8.0})
    assert grid[0] == 1
    np.testing.assert_allclose(np.diff(flow.log_snr(grid[1:])), (flow.log_snr(1e-5) + 8) / 4, 1e-4)
    np.testing.assert_allclose(flow.log_snr(grid[1]), -8.0, rtol=1e-4)
    np.testing.assert_array_equal(times.make_grid(flow, 1, "log_snr"), np.float32([1.0, 1e-5]))
