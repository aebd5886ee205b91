"""NCSN on CIFAR-10 with technique 5 of NCSNv2, the moving average (arXiv:2006.09011)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.annealed_langevin(
        networks.ncsn(), sigma_max=1.0, num_scales=10, snr=0.316, corrector_steps=100
    )
    config.training.ema_rate = 0.999
    return config
