"""NCSN on CIFAR-10: published FID 25.32 (arXiv:1907.05600)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.annealed_langevin(
        networks.ncsn(), sigma_max=1.0, num_scales=10, snr=0.316, corrector_steps=100
    )
    config.training.ema_rate = 0.0
    return config
