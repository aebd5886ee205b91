"""A run: a work directory, and all that is done with it once it is trained."""

from typing import Any

import jax

from scoresde import plain
from scoresde.condition import Condition
from scoresde.runs.generate import Generated, generate
from scoresde.runs.likelihood import measure_likelihood
from scoresde.runs.protocol import LikelihoodProtocol
from scoresde.runs.quality import evaluate
from scoresde.runs.quality_protocol import QualityProtocol
from scoresde.runs.restoring import RestorationRequest, restore_images
from scoresde.runs.samples import SampleRequest, draw_samples
from scoresde.runs.trained_model import TrainedModel


class Run(TrainedModel):
    """The experiment in a work directory, what training has made of it, and its results.

        run = Run("runs/digits")
        denoiser = run.denoiser()                  # of the latest checkpoint's average
        drawn = run.generate(64, seed=0)           # in memory
        run.draw(SampleRequest(num=64))            # in the directory, as `scoresde sample` does
        run.restore(InpaintRequest(input="a.png", box="2,2,4,4"), out="mended")
        result = run.likelihood(LikelihoodProtocol(split="test"))
        result = run.evaluate(QualityProtocol(metrics=["fd", "kid"]))

    All of them take `progress=`, a function of a `scoresde.jobs.Report`; `scoresde.jobs.Progress()`
    shows a bar, or lines. See `TrainedModel` for the rest.
    """

    def generate(
        self,
        num: int,
        *,
        seed: int = 0,
        step: int | None = None,
        average: str | None = "ema",
        condition: Condition = None,
        **options: Any,
    ) -> Generated:
        """`num` samples by the config's sampler; see `scoresde.runs.generate`, also for options."""
        plain.check("seed", seed, int)
        denoiser = self.denoiser(step, average, self.experiment.sampling.t_min)
        key, experiment = jax.random.key(seed), self.experiment
        return generate(
            key, experiment, denoiser, num, mesh=self.mesh, condition=condition, **options
        )

    def draw(self, request: SampleRequest, **options: Any) -> dict[str, Any]:
        """Samples on disk; see `scoresde.runs.draw_samples`."""
        return draw_samples(self, request, **options)

    def restore(self, request: RestorationRequest, **options: Any) -> dict[str, Any]:
        """Restored or edited images on disk; see `scoresde.runs.restore_images`."""
        return restore_images(self, request, **options)

    def likelihood(self, protocol: LikelihoodProtocol, **options: Any) -> dict[str, Any]:
        """Log-likelihoods by `protocol`; see `scoresde.runs.measure_likelihood`."""
        return measure_likelihood(self, protocol, **options)

    def evaluate(self, protocol: QualityProtocol, **options: Any) -> dict[str, Any]:
        """How good its samples are, by `protocol`; see `scoresde.runs.evaluate`."""
        return evaluate(self, protocol, **options)
