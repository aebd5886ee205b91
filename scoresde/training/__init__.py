"""Training: any `loss_fn(params, key, batch) -> (loss, metrics)`, on one device or many.

Nothing here knows about diffusion. `make_train_step` compiles the step, `train` runs it,
and `Checkpoints` brings the result back:

    mesh = make_mesh()
    optimizer = make_optimizer()
    state = create_state(key, params, optimizer)
    train_step = make_train_step(loss_fn, optimizer, mesh, ema_rate=0.9999)
    train(state, train_step, loader, mesh=mesh, workdir=workdir, num_steps=1_300_000)
    ema_params = Checkpoints(workdir / "checkpoints").restore_params()
"""

from scoresde.training.checkpoints import Checkpoints
from scoresde.training.ema import ema_rate
from scoresde.training.lock import exclusive
from scoresde.training.log import LogWriter, plot_loss, read_log
from scoresde.training.loop import BatchIterator, train
from scoresde.training.optimizer import OPTIMIZERS, make_optimizer, make_schedule
from scoresde.training.sharding import (
    batch_sharding,
    check_divisible,
    make_mesh,
    replicate,
    replicated,
    shard_batch,
)
from scoresde.training.state import TrainState, create_state
from scoresde.training.step import make_eval_step, make_train_step

__all__ = [
    "OPTIMIZERS",
    "BatchIterator",
    "Checkpoints",
    "LogWriter",
    "TrainState",
    "batch_sharding",
    "check_divisible",
    "create_state",
    "ema_rate",
    "exclusive",
    "make_eval_step",
    "make_mesh",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "plot_loss",
    "read_log",
    "replicate",
    "replicated",
    "shard_batch",
    "train",
]
