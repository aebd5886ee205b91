"""What is seen of a run while it goes on: its trajectory, and a progress bar."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from tqdm import tqdm

# The bars now shown. A compiled program is handed the number of its bar, so that it can be reused.
_bars: dict[int, tqdm] = {}
_numbers = itertools.count()


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["bar"],
    meta_fields=["every", "records", "record"],
)
@dataclasses.dataclass(frozen=True)
class Observer:
    """Records states and reports progress; by default it does neither, at no cost.

    Attributes:
        every: the stride of the recorded steps, or None.
        records: how many states are recorded, the first one included.
        record: state -> what is recorded of it, an array or a pytree of them.
        bar: the number of a progress bar that is being shown, or None.
    """

    every: int | None = None
    records: int = 0
    record: Callable[[Array], Any] | None = None
    bar: Array | None = None

    def reduce(self, x: Array) -> Any:
        """What is recorded of the state x."""
        return x if self.record is None else self.record(x)

    def start(self, x: Array) -> Any:
        """Room for the records, with the first state in it; None where nothing is recorded."""
        if self.every is None:
            return None

        def room(first):
            return jnp.zeros((self.records, *first.shape), first.dtype).at[0].set(first)

        return jax.tree.map(room, self.reduce(x))

    def see(self, seen: Any, number: Array, x: Array) -> Any:
        """The records after step `number`, which led to x."""
        if self.every is None:
            return seen
        # Within a stride a later step overwrites the earlier one, so that the last state is kept.
        place = 1 + number // self.every
        return jax.tree.map(lambda all, one: all.at[place].set(one), seen, self.reduce(x))

    def progress(self, before: Array, after: Array) -> None:
        """Moves the bar, where the fraction done passes a whole percent on its way to `after`."""
        if self.bar is None:
            return
        before, after = (jnp.floor(100 * part).astype(jnp.int32) for part in (before, after))
        jax.lax.cond(
            after > before,
            lambda: jax.debug.callback(_move, self.bar, after),
            lambda: None,
        )


def _move(bar, percent):
    if (bar := _bars.get(int(bar))) is not None:  # calls may come late or out of order
        bar.update(max(0, int(percent) - bar.n))


@contextlib.contextmanager
def progress_bar() -> Iterator[Array]:
    """Shows a bar from 0 to 100 % on stderr; yields its number, for an `Observer`."""
    number = next(_numbers)
    with tqdm(total=100, unit="%", desc="sampling") as bar:
        _bars[number] = bar
        try:
            yield jnp.int32(number)
            jax.effects_barrier()
        finally:
            del _bars[number]
