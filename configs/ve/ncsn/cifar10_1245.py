"""NCSN on CIFAR-10 with techniques 1, 2, 4 and 5 of NCSNv2 (arXiv:2006.09011)."""

from scoresde.configs import networks, processes


def get_config():
    """The experiment."""
    config = processes.annealed_langevin(
        networks.ncsn(), sigma_max=50.0, num_scales=232, snr=0.176, corrector_steps=5
    )
    config.training.ema_rate = 0.999
    return config
