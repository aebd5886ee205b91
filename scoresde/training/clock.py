"""What a run costs in time and memory; it depends on the clock, and is for TensorBoard alone."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator

import jax


class StepClock:
    """Measures a run between the steps that are logged.

    Args:
        device: one of this process, whose memory is asked for.
        peak_flops: operations a second of all devices together; None where it is not known.
        step_flops: () -> operations of a step; it is asked only where the peak is known.
    """

    def __init__(
        self,
        device: jax.Device,
        peak_flops: float | None = None,
        step_flops: Callable[[], float] | None = None,
    ):
        self._device = device
        self._peak, self._step_flops = peak_flops, step_flops
        self._share: float | None = None  # of the peak, that one step a second takes
        self._waited, self._since = 0.0, time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the block as waiting for data."""
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def scalars(
        self, steps_per_second: float | None, images_per_second: float | None
    ) -> dict[str, float]:
        """What there is to log since the last time.

        Args:
            steps_per_second: recent speed; None before it is known.
            images_per_second: likewise.

        Returns:
            "input_wait", the share of the time in which training waited for data;
            "device_peak_bytes", the most memory in use so far, where the device says it; once the
            speed is known "images_per_second"; and where the peak is known too, "mfu", the share of
            it that the model's operations are (model FLOP utilization).
        """
        now = time.perf_counter()
        found = {"input_wait": self._waited / max(now - self._since, 1e-9)}
        self._waited, self._since = 0.0, now
        if images_per_second:
            found["images_per_second"] = images_per_second
        if steps_per_second and (share := self._share_of_peak()):
            found["mfu"] = steps_per_second * share
        stats = self._device.memory_stats() or {}
        if (peak := stats.get("peak_bytes_in_use")) is not None:
            found["device_peak_bytes"] = float(peak)
        return found

    def _share_of_peak(self):
        if self._share is None:
            known = self._peak and self._step_flops
            self._share = self._step_flops() / self._peak if known else 0.0
            self._share = self._share if math.isfinite(self._share) else 0.0
        return self._share
