"""Predictor-corrector sampling (arXiv:2011.13456, algorithm 1)."""

import dataclasses

from scoresde.keys import split
from scoresde.registry import UsageError, make
from scoresde.samplers.correctors import CORRECTORS, Corrector
from scoresde.samplers.driver import GridSampler
from scoresde.samplers.predictors import PREDICTORS, ReverseDiffusion, transition


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictorCorrector(GridSampler):
    """Alternates a predictor's step with a corrector at one noise level.

    Attributes:
        predictor: a GridSampler whose step it takes, or None to move on to the next level without
            a step (annealed Langevin dynamics alone).
        corrector: a Corrector, or None.
        order: "corrector_first" corrects at t, then predicts s (score_sde's code, which also
            corrects at the last time); "predictor_first" predicts s, then corrects there (the
            paper's algorithm 1).
    """

    predictor: GridSampler | None = dataclasses.field(default_factory=ReverseDiffusion)
    corrector: Corrector | None = None
    order: str = "corrector_first"

    def __post_init__(self):
        super().__post_init__()
        if self.order not in ("corrector_first", "predictor_first"):
            raise UsageError(
                f"Unknown order {self.order!r}. Known: corrector_first, predictor_first."
            )
        if self.predictor is None and self.corrector is None:
            raise UsageError("A predictor-corrector sampler needs a predictor or a corrector.")
        rules = ("tweedie", "none") if self.predictor is None else self.predictor.denoise_rules
        if self.denoise not in rules:
            raise UsageError(f"This predictor has no {self.denoise!r}; use denoise='tweedie'.")

    @property
    def evaluations(self):
        parts = (self.predictor, self.corrector)
        return sum(part.evaluations for part in parts if part is not None)

    def total_evaluations(self, steps):
        corrections = 0 if self.corrector is None else steps * self.corrector.evaluations
        predictions = 0 if self.predictor is None else self.predictor.total_evaluations(steps)
        return predictions + corrections

    def check(self, denoiser):
        if self.predictor is not None:
            self.predictor.check(denoiser)

    def init(self, x, denoiser, steps):
        return () if self.predictor is None else self.predictor.init(x, denoiser, steps)

    def _predict(self, keys, x, t, s, denoiser, carry):
        if self.predictor is None:
            return x, x, carry
        return self.predictor.step(keys, x, t, s, denoiser, carry)

    def step(self, keys, x, t, s, denoiser, carry):
        predictor_keys, corrector_keys = split(keys)
        if self.corrector is None:
            return self._predict(predictor_keys, x, t, s, denoiser, carry)
        a, _ = transition(denoiser.sde, s, t)
        if self.order == "corrector_first":
            x = self.corrector.correct(corrector_keys, x, t, a, denoiser)
            return self._predict(predictor_keys, x, t, s, denoiser, carry)
        x, mean, carry = self._predict(predictor_keys, x, t, s, denoiser, carry)
        return self.corrector.correct(corrector_keys, x, s, a, denoiser), mean, carry

    @property
    def _corrects_at_the_end(self):
        return self.corrector is not None and self.order == "corrector_first"

    @property
    def final_evaluations(self):
        correction = self.corrector.evaluations if self._corrects_at_the_end else 0
        if self.denoise == "last_mean":
            return correction + self.predictor.evaluations
        return correction + super().final_evaluations

    def finish(self, keys, x, t, denoiser, carry):
        if self._corrects_at_the_end:
            corrector_keys, keys = split(keys)
            a, _ = transition(denoiser.sde, None, t)
            x = self.corrector.correct(corrector_keys, x, t, a, denoiser)
        if self.denoise == "last_mean":
            return self.predictor.step(keys, x, t, None, denoiser, carry)[1]
        return super().finish(keys, x, t, denoiser, carry)


def pc(
    *,
    predictor: str | GridSampler | None = "reverse_diffusion",
    corrector: str | Corrector | None = "langevin",
    order: str = "corrector_first",
    denoise: str = "tweedie",
    probability_flow: bool | None = None,
    variance: str | None = None,
    snr: float | None = None,
    corrector_steps: int | None = None,
    norm: str | None = None,
) -> PredictorCorrector:
    """A predictor-corrector sampler from names, in score_sde's vocabulary.

    Args:
        predictor: a name of PREDICTORS, a GridSampler, or "none".
        corrector: a name of CORRECTORS, a Corrector, or "none".
        order: "corrector_first" or "predictor_first".
        denoise: "tweedie", "last_mean" or "none".
        probability_flow: handed to the predictor where given, as is `variance`.
        variance: of ancestral sampling: "posterior" or "forward".
        snr: handed to the corrector where given, as are the following.
        corrector_steps: how often the corrector's step is repeated.
        norm: the norms of the Langevin corrector.

    Raises:
        UsageError: an unknown name, or an option that the named part does not take.
    """

    def part(family, table, choice, options):
        given = {key: value for key, value in options.items() if value is not None}
        if isinstance(choice, str) and choice != "none":
            return make(family, table, choice, **given)
        if given:
            raise UsageError(f"The {family} {choice!r} takes no options, got {', '.join(given)}.")
        return None if choice == "none" else choice

    if corrector in (None, "none"):  # inert, as published configs carry them along
        snr = corrector_steps = norm = None
    return PredictorCorrector(
        predictor=part(
            "predictor",
            PREDICTORS,
            predictor,
            {"probability_flow": probability_flow, "variance": variance},
        ),
        corrector=part(
            "corrector", CORRECTORS, corrector, {"snr": snr, "steps": corrector_steps, "norm": norm}
        ),
        order=order,
        denoise=denoise,
    )


def annealed_langevin(
    *, snr: float = 0.22, corrector_steps: int = 100, denoise: str = "tweedie"
) -> PredictorCorrector:
    """Annealed Langevin dynamics alone, as NCSN samples (arXiv:1907.05600, algorithm 1).

    At every time of the grid, M steps of size e = 2 (r sigma)^2. NCSN's 10 levels from 1 to 0.01,
    M = 100 and epsilon = 2e-5 are r = sqrt(epsilon) / (2 * 0.01) = 0.22.

    Args:
        snr: r.
        corrector_steps: M.
        denoise: "tweedie" or "none".

    Raises:
        UsageError: snr or corrector_steps is not positive.
    """
    return pc(
        predictor="none",
        corrector="ald",
        snr=snr,
        corrector_steps=corrector_steps,
        denoise=denoise,
    )
