"""Log-likelihoods: exact, with an error bar; and bits per dimension."""

from scoresde.likelihood.bits import bits_per_dim
from scoresde.likelihood.exact import LogProb, log_prob
from scoresde.likelihood.gaussian_baseline import gaussian_log_prob

__all__ = ["LogProb", "bits_per_dim", "gaussian_log_prob", "log_prob"]
