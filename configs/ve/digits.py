"""A small NCSN++ (ve) on the embedded handwritten digits: minutes on two cores."""

from scoresde.configs import datasets, networks, processes


def get_config():
    """The experiment."""
    config = datasets.digits(
        processes.variance_exploding(networks.ncsnpp_of_sigma(), sigma_max=10.0)
    )
    config.sampler.norm = "sample"  # so that no sample depends on the others
    return config
