"""How far the train step may run ahead of the dispatch that is looked at."""

import jax
import numpy as np
import pytest

from scoresde.training.clock import StepClock
from scoresde.training.journal import Dispatch, Journal


class Progress:
    """As `TrainingProgress`, of a speed that is given."""

    def __init__(self, steps_per_second):
        self.speeds, self.images, self.last = (steps_per_second, None), 0, None

    def update(self, step, images, loss):
        self.images, self.last = self.images + images, (step, float(loss))


def follow(steps_per_second, dispatches=9, steps=1):
    """The dispatches that were looked at after each one, and the journal."""
    progress = Progress(steps_per_second)
    journal = Journal(
        writer=None,
        progress=progress,
        clock=StepClock(jax.devices()[0]),
        log_every=1000,
        learning_rate=None,
        max_skipped=0,
        skipped_in_a_row=0,
        remedy="",
    )
    looked_at = []
    for number in range(1, dispatches + 1):
        losses = np.full(steps, number, np.float32)
        metrics = {"loss": losses, "grad_norm": losses}
        journal.follow(Dispatch(step=number * steps, images=8, metrics=metrics))
        looked_at.append(progress.images // 8)
    return looked_at, journal


@pytest.mark.parametrize(
    "steps_per_second, steps, looked_at",
    [
        (None, 1, [0, 1, 2, 3, 4, 5, 6, 7, 8]),  # not known yet
        (1.0, 1, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (4.0, 1, [0, 0, 2, 2, 4, 4, 6, 6, 8]),  # two of a quarter of a second
        (100.0, 1, [0, 0, 0, 0, 4, 4, 4, 4, 8]),
        (100.0, 25, [0, 0, 2, 2, 4, 4, 6, 6, 8]),
    ],
)
def test_the_step_runs_ahead_by_four_calls_or_half_a_second(steps_per_second, steps, looked_at):
    found, journal = follow(steps_per_second, steps=steps)
    assert found == looked_at
    journal.catch_up()
    assert journal.progress.images == 9 * 8 and journal.progress.last == (9 * steps, 9)
    journal.catch_up()
    assert journal.progress.images == 9 * 8


def test_processes_look_at_the_same_dispatch_whatever_their_speed(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert follow(100.0)[0] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
