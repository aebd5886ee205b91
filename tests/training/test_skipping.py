"""What is not finite, and cannot be skipped any more; steps that can be are in test_loop.py."""

import dataclasses

import numpy as np
import pytest

from scoresde import training
from scoresde.registry import UsageError

from . import toy


@pytest.mark.parametrize("last", [True, False])
def test_parameters_that_a_sound_gradient_broke_are_not_kept(last, tmp_path):
    """As one of an optimizer that overflows: the run ended well, with a checkpoint of NaN."""

    def breaking(state, batches):
        steps = next(iter(batches.values())).shape[0]
        state = dataclasses.replace(state, step=state.step + steps)
        norms = np.where(int(state.step) == 10, np.nan, np.ones(steps))
        return state, {"loss": np.ones(steps), "grad_norm": np.ones(steps), "param_norm": norms}

    seen = []
    with pytest.raises(UsageError, match="parameters are not finite at step 10, by an update"):
        training.train(
            toy.make_state(),
            breaking,
            toy.ToyLoader(),
            mesh=training.make_mesh(),
            workdir=tmp_path,
            num_steps=10 if last else 20,
            checkpoint_every=5,
            callbacks=[(1 if not last else 5, lambda step, state: seen.append(step))],
        )
    assert training.Checkpoints(tmp_path / "checkpoints").all_steps() == [5]
    assert max(seen) < 10  # neither drawn nor measured
