"""Settings of every test: before JAX is imported, since it reads them once."""

import gc
import importlib.metadata
import os
import pathlib

# The weight gradient of a convolution is three times faster outside XLA's YNNPACK path. A program
# is compiled in one part: every core has a process. Without most optimizations, below, what the
# fusion emitters write takes half of all the time to compile; with them, as users have it, it is
# the quicker in every respect. (Later versions than 0.10 have no other, and end the process at the
# flag.)
FLAGS = (
    "--xla_cpu_experimental_ynn_fusion_type=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION "
    "--xla_cpu_parallel_codegen_split_count=1"
)
if importlib.metadata.version("jaxlib").startswith("0.10."):
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", FLAGS)
# Programs here take longer to compile than to run.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Tests that start processes compile the same programs.
cache = pathlib.Path(__file__).parent.parent / ".jax_cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tracing makes objects by the million, hardly any in cycles: looking for those at Python's
# default pace takes a seventh of all the time.
gc.set_threshold(200_000, 20, 100)

import jax  # noqa: E402
import numpy as np  # noqa: E402
import one_context  # noqa: E402
import pytest  # noqa: E402
from any_process import AnyProcess  # noqa: E402

from scoresde import analytic  # noqa: E402

one_context.share()


@pytest.fixture(scope="session")
def mixture():
    """A 2-d mixture of three Gaussians, off-center and anisotropic."""
    return analytic.GaussianMixture(
        [0.5, 0.3, 0.2],
        [[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]],
        [np.eye(2) * 0.05, np.diag([0.1, 0.04]), [[0.05, 0.03], [0.03, 0.05]]],
    )


@pytest.fixture(scope="session")
def gaussian():
    """A Gaussian over 2x2x1 images with a full covariance and a mean."""
    factor = np.random.default_rng(0).normal(size=(4, 4)) / 3
    mean = np.array([0.3, -0.2, 0.1, 0.0]).reshape(2, 2, 1)
    return analytic.gaussian(mean, factor @ factor.T + 0.05 * np.eye(4))


@pytest.fixture(scope="session")
def key():
    """One key for all."""
    return jax.random.key(0)


@pytest.fixture(scope="session")
def any_process():
    """name -> a process that shares its compiled programs with the others."""
    return AnyProcess.called
