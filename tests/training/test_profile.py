"""Traces of some steps of a run."""

import jax
import pytest

from scoresde.registry import UsageError
from scoresde.training import parse_profile
from scoresde.training.profile import Profile

from . import toy


@pytest.fixture
def traced(monkeypatch):
    """The steps, counted by the dispatches of the data, at which a trace begins and ends."""
    calls = []
    monkeypatch.setattr("jax.profiler.start_trace", lambda *a, **b: calls.append(("start", a[0])))
    monkeypatch.setattr("jax.profiler.stop_trace", lambda: calls.append("stop"))
    return calls


def test_a_range_of_steps():
    assert parse_profile("0:1", 1) == (0, 1) and parse_profile("100:110", 200) == (100, 110)
    for wrong in ("5", "5:", ":5", "5:5", "7:5", "-1:5", "a:b", "1:2:3", "1.5:3", ""):
        with pytest.raises(UsageError, match="START:STOP with 0 <= START < STOP"):
            parse_profile(wrong, 100)
    with pytest.raises(UsageError, match="ends beyond the run, which has 9 steps"):
        parse_profile("5:10", 9)


def test_dispatches_from_start_to_stop_are_traced(tmp_path, monkeypatch, capfd):
    """By JAX's profiler itself, so that what the tools read is there."""
    calls, start, stop = [], jax.profiler.start_trace, jax.profiler.stop_trace
    note = [(1, lambda step, state: calls.append(step))]
    with monkeypatch.context() as patch:
        patch.setattr(
            "jax.profiler.start_trace", lambda *a, **b: calls.append("a") or start(*a, **b)
        )
        patch.setattr("jax.profiler.stop_trace", lambda: calls.append("b") or stop())
        toy.run(tmp_path, 10, steps=2, profile=(3, 7), callbacks=note)
    # Dispatches end at 2, 4, 6, ...: the first that begins at 3 or later begins at 4.
    assert calls == [2, 4, "a", 6, "b", 8, 10]
    assert f"The profile is in {tmp_path / 'profile'}." in capfd.readouterr().err
    names = [path.name for path in (tmp_path / "profile").rglob("*.*")]
    assert any(name.endswith(".xplane.pb") for name in names)  # XProf's
    assert any("perfetto" in name and name.endswith(".gz") for name in names)


class Said:
    """What a run's progress is told."""

    def __init__(self):
        self.lines = []
        self.message = self.lines.append


def test_a_run_that_is_past_them_says_so(tmp_path, traced):
    said = Said()
    with Profile((2, 6), tmp_path, said, step=6) as profile:
        profile.before(6, None)
        profile.after(7, None)
    assert traced == []
    assert said.lines == ["Steps 2:6 are not profiled: the run goes on at 6."]


def test_a_run_that_goes_on_within_them_traces_what_is_left(tmp_path, traced):
    with Profile((2, 6), tmp_path, Said(), step=4) as profile:
        for step in range(4, 8):
            profile.before(step, None)
            traced.append(step)
            profile.after(step + 1, None)
    assert traced == [("start", str(tmp_path / "profile")), 4, 5, "stop", 6, 7]


def test_a_run_that_is_stopped_within_ends_the_trace(tmp_path, traced):
    with pytest.raises(KeyboardInterrupt), Profile((1, 9), tmp_path, Said(), step=0) as profile:
        profile.before(0, None)
        assert traced == []
        profile.before(1, None)
        raise KeyboardInterrupt
    assert traced[1:] == ["stop"]


@pytest.mark.parametrize("failing", ["start_trace", "stop_trace"])
def test_a_trace_that_cannot_be_written_does_not_end_the_run(
    failing, tmp_path, traced, monkeypatch
):
    def fail(*_, **__):
        raise ValueError("Invalid trace folder: x")

    monkeypatch.setattr(f"jax.profiler.{failing}", fail)
    said = Said()
    with Profile((1, 3), tmp_path, said, step=0) as profile:
        for step in range(5):
            profile.before(step, None)
            profile.after(step + 1, None)
    (line,) = said.lines
    assert line.startswith("Warning: no profile was written to") and "Invalid trace folder" in line
    assert traced == ([] if failing == "start_trace" else [("start", str(tmp_path / "profile"))])


def test_each_of_several_processes_has_a_folder(tmp_path, traced, monkeypatch):
    """JAX names a trace by the second and the host, and refuses a second one in its place."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    for index in range(2):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        said = Said()
        with Profile((0, 1), tmp_path, said, step=0) as profile:
            profile.before(0, None)
            profile.after(1, None)
        assert traced[-2:] == [("start", str(tmp_path / "profile" / f"process_{index}")), "stop"]
        assert said.lines == [f"The profile is in {tmp_path / 'profile'}."]
