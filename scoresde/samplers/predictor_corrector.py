"""Predictor-corrector sampling (arXiv:2011.13456, algorithm 1)."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from scoresde.plain import check_fields
from scoresde.registry import UsageError, closest, component, lookup
from scoresde.samplers.correctors import CORRECTORS, Corrector
from scoresde.samplers.grid_sampler import GridSampler, Move
from scoresde.samplers.predictors import PREDICTORS, transition
from scoresde.times import require_noise


@dataclasses.dataclass(frozen=True)
class Correction(Move):
    """A corrector's move in the step from t to s: at t, or at s where the step has ended there."""

    corrector: Corrector
    at_the_end: bool

    @property
    def evaluations(self):
        return self.corrector.evaluations

    def step(self, keys, x, t, s, denoiser, carry):
        a, _ = transition(denoiser.sde, s, t)
        return self.corrector.correct(keys, x, self.arrival(t, s), a, denoiser), carry

    def arrival(self, t, s):
        return s if self.at_the_end else t


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictorCorrector(GridSampler):
    """Alternates a predictor's step with a corrector at one noise level.

    Attributes:
        predictor: a GridSampler whose moves it takes, also by a name of PREDICTORS or a section; or
            None to go on to the next level without one (annealed Langevin dynamics alone).
        corrector: a Corrector, also by a name of CORRECTORS or a section; or None.
        order: "corrector_first" corrects at t, then predicts s (score_sde's code, which also
            corrects at the last time); "predictor_first" predicts s, then corrects there (the
            paper's algorithm 1).
    """

    predictor: str | Mapping[str, Any] | GridSampler | None = "reverse_diffusion"
    corrector: str | Mapping[str, Any] | Corrector | None = None
    order: str = "corrector_first"

    def __post_init__(self):
        check_fields(self)
        parts = ("predictor", PREDICTORS, GridSampler), ("corrector", CORRECTORS, Corrector)
        for name, table, kind in parts:
            if (choice := getattr(self, name)) is not None:
                object.__setattr__(self, name, component(name, table, choice, kind))
        if self.order not in ("corrector_first", "predictor_first"):
            raise UsageError(
                f"Unknown order {self.order!r}. Known: corrector_first, predictor_first."
            )
        if self.predictor is None and self.corrector is None:
            raise UsageError("A predictor-corrector sampler needs a predictor or a corrector.")
        super().__post_init__()

    @property
    def _corrections(self):
        if self.corrector is None:
            return ()
        return (Correction(self.corrector, at_the_end=self.order == "predictor_first"),)

    @property
    def moves(self):
        predictions = () if self.predictor is None else self.predictor.moves
        if self.order == "corrector_first":
            return self._corrections + predictions
        return predictions + self._corrections

    @property
    def closing_moves(self):
        of_predictor = () if self.predictor is None else self.predictor.closing_moves
        return (self._corrections if self.order == "corrector_first" else ()) + of_predictor

    @property
    def last_predictor(self):
        return None if self.predictor is None else self.predictor.last_predictor

    @property
    def evaluations(self):
        return sum(move.evaluations for move in self.moves)

    def total_evaluations(self, steps):
        return sum(move.total_evaluations(steps) for move in self.moves)

    def check(self, denoiser):
        if self.predictor is not None:
            self.predictor.check(denoiser)

    def check_last(self, sde, t):
        if self.predictor is not None:
            self.predictor.check_last(sde, t)
        if self.corrector is not None:
            require_noise(sde, t, "A corrector")


def pc(
    *,
    predictor: str | Mapping[str, Any] | GridSampler | None = "reverse_diffusion",
    corrector: str | Mapping[str, Any] | Corrector | None = "langevin",
    order: str = "corrector_first",
    denoise: Any = "tweedie",
    probability_flow: bool | None = None,
    variance: Any = None,
    snr: float | None = None,
    corrector_steps: int | None = None,
    norm: str | None = None,
    **options: Any,
) -> PredictorCorrector:
    """A predictor-corrector sampler from names, in score_sde's vocabulary.

    Args:
        predictor: a name of PREDICTORS, a section {"name": ..., option: value, ...}, a GridSampler,
            or "none".
        corrector: a name of CORRECTORS, a section, a Corrector, or "none".
        order: "corrector_first" or "predictor_first".
        denoise: "tweedie", "last_mean" or "none".
        probability_flow: handed to the predictor where given, as is `variance`.
        variance: of ancestral sampling.
        snr: handed to the corrector where given, as are the following.
        corrector_steps: how often the corrector's step is repeated.
        norm: the norms of the Langevin corrector.
        **options: further options of the predictor or the corrector, for the one that takes them.

    Raises:
        UsageError: an unknown name, or an option that neither part takes, or both.
    """
    predictor, corrector = (None if part == "none" else part for part in (predictor, corrector))
    of_corrector = {"snr": snr, "corrector_steps": corrector_steps, "norm": norm}
    if corrector is not None:  # else inert, as published configs carry them along
        options |= of_corrector
    options |= {"probability_flow": probability_flow, "variance": variance}
    options = {name: value for name, value in options.items() if value is not None}
    known = {
        "predictor": _options_of("predictor", PREDICTORS, predictor),
        "corrector": _options_of("corrector", CORRECTORS, corrector),
    }
    given = {"predictor": {}, "corrector": {}}
    for option, value in options.items():
        takers = [part for part in known if option in known[part]]
        if len(takers) != 1:
            raise UsageError(_nobodys(option, known, takers))
        given[takers[0]][known[takers[0]][option]] = value

    def part(name, table, choice, kind):
        return None if choice is None else component(name, table, choice, kind, **given[name])

    return PredictorCorrector(
        predictor=part("predictor", PREDICTORS, predictor, GridSampler),
        corrector=part("corrector", CORRECTORS, corrector, Corrector),
        order=order,
        denoise=denoise,
    )


def _options_of(part, table, choice):
    """What `pc` calls the options of a part that is given by its name -> what the part does."""
    if isinstance(choice, Mapping):
        choice = choice.get("name")
    if not isinstance(choice, str):  # an object has its options already
        return {}
    names = list(inspect.signature(lookup(part, table, choice)).parameters)
    return {
        "corrector_steps" if (part, name) == ("corrector", "steps") else name: name
        for name in names
        if name != "denoise"  # the whole's
    }


def _nobodys(option, known, takers):
    """What is wrong with an option that neither part takes, or both."""
    if takers:
        return f"Predictor and corrector both take {option!r}; give it in the section of one."
    all_known = [name for names in known.values() for name in names]
    lists = "; ".join(
        f"of the {part}: {', '.join(names) or 'none'}" for part, names in known.items()
    )
    return (
        f"The sampler 'pc' has no option {option!r} with this predictor and corrector."
        f"{closest(option, all_known)} Its options: predictor, corrector, order, denoise; {lists}."
    )


def annealed_langevin(
    *, snr: float = 0.22, corrector_steps: int = 100, denoise: Any = "tweedie"
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
