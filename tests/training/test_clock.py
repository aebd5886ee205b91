"""What depends on the clock."""

import pytest

from scoresde.training.clock import StepClock


class Device:
    """One that says what memory it took, or does not."""

    def __init__(self, stats=None):
        self.stats = stats

    def memory_stats(self):
        return self.stats


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until it is set: a list of one number."""
    times = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: times[0])
    return times


def test_the_wait_for_data_is_a_share_of_the_time_since_the_last_line(now):
    clock = StepClock(Device())
    with clock.waiting():
        now[0] = 3.0
    now[0] = 12.0
    assert clock.scalars(None, None) == {"input_wait": 0.25}
    now[0] = 14.0
    with clock.waiting():
        now[0] = 16.0
    assert clock.scalars(2.0, 64.0) == {"input_wait": 0.5, "images_per_second": 64.0}


def test_the_share_of_the_peak_is_of_operations_counted_once(now):
    counted = []
    clock = StepClock(Device(), peak_flops=100.0, step_flops=lambda: counted.append(1) or 20.0)
    assert "mfu" not in clock.scalars(None, None) and counted == []
    assert [clock.scalars(speed, 1.0)["mfu"] for speed in (2.0, 3.0)] == pytest.approx([0.4, 0.6])
    assert counted == [1]
    unknown = StepClock(Device(), peak_flops=None, step_flops=lambda: 1 / 0)
    assert "mfu" not in unknown.scalars(2.0, 1.0)


def test_memory_is_logged_where_the_device_says_it():
    clock = StepClock(Device({"peak_bytes_in_use": 7, "bytes_limit": 9}))
    assert clock.scalars(None, None)["device_peak_bytes"] == 7.0
    assert "device_peak_bytes" not in StepClock(Device({})).scalars(None, None)
