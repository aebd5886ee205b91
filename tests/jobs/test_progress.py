"""What is shown of a job: lines where there is no terminal, a bar where there is one."""

import io
import os
import pty
import select
import sys

import jax
import pytest

from scoresde import jobs
from scoresde.jobs import progress as module


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


class Clock:
    """A clock that is set."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def shown(stream, batches=4, found=0):
    progress = jobs.Progress("images", stream)
    known = {"found": found, "num": 10 * batches}
    progress(jobs.Report(stage="start", done=found, text="Now.", **known))
    progress(jobs.Report(stage="compiling", done=found, **known))
    progress(jobs.Report(stage="compiled", done=found, seconds=7.0, **known))
    for number in range(found // 10 + 1, batches + 1):
        progress(jobs.Report(stage="batch", done=10 * number, seconds=60, text="fine", **known))
    progress(jobs.Report(stage="end", done=10 * batches, **known))
    return stream.getvalue()


def test_lines_say_what_is_done_how_long_it_takes_and_how_long_it_will():
    assert shown(io.StringIO()).splitlines() == [
        "Now.",
        "compiling ...",
        "compiled in 7.0 s",
        "10/40 images  fine  60.00 s a batch  ETA 03:00",
        "20/40 images  fine  60.00 s a batch  ETA 02:00",
        "30/40 images  fine  60.00 s a batch  ETA 01:00",
        "40/40 images  fine  60.00 s a batch",
    ]


def test_what_an_earlier_run_did_is_said():
    lines = shown(io.StringIO(), found=20).splitlines()
    assert lines[0] == "Now. 20 of them are there already."
    assert lines[3].startswith("30/40 images") and len(lines) == 5


def test_of_many_batches_one_a_per_cent_has_a_line(clock):
    assert len(shown(io.StringIO(), batches=1000).splitlines()) == 3 + 100


def test_a_long_batch_has_a_line_every_half_minute(clock):
    stream = io.StringIO()
    progress = jobs.Progress("images", stream)
    known = {"done": 0, "found": 0, "num": 10}
    progress(jobs.Report(stage="start", text="Now.", **known))
    for clock.now in range(1, 91):
        progress(jobs.Report(stage="waiting", seconds=clock.now, **known))
    waiting = [f"0/10 images; the next batch: {t} so far" for t in ("00:30", "01:00", "01:30")]
    assert stream.getvalue().splitlines()[1:] == waiting


def test_a_terminal_has_a_bar():
    text = shown(Terminal())
    assert "Now.\n" in text and "compiling" in text
    assert "40/40" in text and "fine" in text and "ETA" not in text


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_other_processes_than_the_first_are_silent(stream, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert shown(stream) == ""
    jobs.say("hello", stream)
    assert stream.getvalue() == ""


def test_a_terminal_that_does_not_know_its_size_has_a_bar(monkeypatch):
    reading, writing = pty.openpty()  # of no columns and no rows at all
    with open(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)  # of which tqdm asks the size
        progress = jobs.Progress("images")
        progress(jobs.Report(stage="start", done=0, found=0, num=10, text="Now."))
        progress(jobs.Report(stage="end", done=10, found=0, num=10))
        shown = b""
        while b"0/10" not in shown:  # a read gives what has arrived, not all that was written
            assert select.select([reading], [], [], 10)[0], shown
            shown += os.read(reading, 10_000)
    os.close(reading)
