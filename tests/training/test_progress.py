"""How long a run says it will take, and that it never falls silent."""

import io

import pytest

from scoresde.training import progress as module


class Clock:
    """A clock that is set."""

    now = 0.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run(clock, seconds, steps, num_steps=1000):
    """The lines of a run that does not log, of so many seconds a step."""
    stream = io.StringIO()
    with module.TrainingProgress(0, num_steps, stream) as progress:
        for step in range(1, steps + 1):
            clock.now += seconds
            progress.update(step, 8, 0.5)
    return stream.getvalue().splitlines()


def test_the_first_steps_say_how_long_it_takes(clock):
    assert run(clock, seconds=1, steps=20) == ["About 16:29 for the 989 steps left."]


def test_the_last_steps_do_not(clock):
    assert run(clock, seconds=1, steps=11, num_steps=11) == []


def test_there_is_a_line_every_half_minute(clock):
    lines = run(clock, seconds=10, steps=10)
    assert [line.split("  ")[0] for line in lines] == [f"step {n}/1000" for n in (3, 6, 9)]
    assert "loss 0.5" in lines[0] and "ETA" in lines[0]
