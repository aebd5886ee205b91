"""A small EDM2 on the handwritten digits with their classes: minutes on two cores."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    noise, rate = {"mean": -0.8, "std": 1.2}, {"learning_rate": 0.01, "decay_steps": 200}
    config = processes.edm2(networks.edm2(32), images=0, batch_size=64, values=64, **noise, **rate)
    datasets.digits(config)
    config.data.labels = True
    config.network = networks.edm2(
        32,
        label_dim=10,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
        channels_per_head=32,
        log_variance_features=32,
        dtype="float32",
    )
    config.loss.times = processes.Section({"name": "log_normal", **noise})
    config.optimizer.update({"schedule": "inverse_sqrt", **rate})
    config.training.update(
        {"num_steps": 600, "ema_rate": 0.9999, "ema_warmup": "none", "snapshot_every": 50}
    )
    config.sampler.steps = 17
    return config
