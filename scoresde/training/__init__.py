"""Training: any `loss_fn(params, key, batch) -> (loss, metrics)`, on one device or many.

Nothing here knows about diffusion. `make_train_step` compiles the step, `train` runs it,
and `Checkpoints` brings the result back:

    mesh, optimizer = make_mesh(), make_optimizer()
    averages = {"ema": EMA(rate=0.9999)}
    state = create_state(key, params, optimizer, averages)
    train_step = make_train_step(loss_fn, optimizer, mesh, averages=averages)
    train(state, train_step, loader, mesh=mesh, workdir=workdir, num_steps=1_300_000)
    ema_params = Checkpoints(workdir / "checkpoints").restore_params(average="ema")
"""

from scoresde.training.average_files import AverageFiles, SavedAverage
from scoresde.training.averages import AVERAGES, EMA, Average
from scoresde.training.checkpoints import Checkpoints
from scoresde.training.eval_step import make_eval_step
from scoresde.training.lock import exclusive
from scoresde.training.log import LogWriter, Tracker, plot_loss, read_log
from scoresde.training.loop import BatchIterator, TrainStep, train
from scoresde.training.mesh import (
    FSDP_AXIS,
    batch_sharding,
    check_divisible,
    check_mesh,
    make_mesh,
    replicated,
    shard_batch,
)
from scoresde.training.optax_names import OPTAX_OPTIMIZERS, OPTAX_SCHEDULES
from scoresde.training.optimizer import (
    ELEMENTWISE,
    OPTIMIZERS,
    SCHEDULES,
    make_optimizer,
    make_schedule,
    schedule_of,
)
from scoresde.training.packing import packed, unpacked
from scoresde.training.part_means import PartMeans, part_means
from scoresde.training.power_average import PowerEMA
from scoresde.training.profile import parse_profile
from scoresde.training.sharding import (
    created_on,
    fsdp_rules,
    param_shardings,
    place,
    replicate,
    split_batch,
    state_shardings,
)
from scoresde.training.snapshots import reconstruct, take_snapshots
from scoresde.training.state import TrainState, create_state
from scoresde.training.train_step import make_train_step

__all__ = [
    "AVERAGES",
    "ELEMENTWISE",
    "EMA",
    "FSDP_AXIS",
    "OPTAX_OPTIMIZERS",
    "OPTAX_SCHEDULES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Average",
    "AverageFiles",
    "BatchIterator",
    "Checkpoints",
    "LogWriter",
    "PartMeans",
    "PowerEMA",
    "SavedAverage",
    "TrainState",
    "TrainStep",
    "Tracker",
    "batch_sharding",
    "check_divisible",
    "check_mesh",
    "create_state",
    "created_on",
    "exclusive",
    "fsdp_rules",
    "make_eval_step",
    "make_mesh",
    "make_optimizer",
    "make_schedule",
    "make_train_step",
    "packed",
    "param_shardings",
    "parse_profile",
    "part_means",
    "place",
    "plot_loss",
    "read_log",
    "reconstruct",
    "replicate",
    "replicated",
    "schedule_of",
    "shard_batch",
    "split_batch",
    "state_shardings",
    "take_snapshots",
    "train",
    "unpacked",
]
