"""A small NCSN++ (ve) on the embedded handwritten digits: minutes on two cores."""

from configs import default


def get_config():
    """The experiment."""
    return default.digits(default.variance_exploding(sigma_max=10.0))
