"""Posterior samplers on 2-d data whose posterior is known: no network, no training.

`posteriors:quick` is of few samples, steps and methods.
"""

import ml_collections

WAYS = ("ancestral_sampling", "ddim")  # of the SDE, and of the ODE
MIXTURE = {
    "weights": (0.3, 0.3, 0.4),
    "means": ((-1.5, -1.0), (0.8, 1.6), (1.0, -1.4)),
    "covariances": (
        ((0.3, 0.1), (0.1, 0.2)),
        ((0.35, 0.2), (0.2, 0.3)),
        ((0.25, -0.1), (-0.1, 0.15)),
    ),
    "matrix": ((1.0, 0.0),),
    "observation": (0.6,),
}
DATA = {
    # The first coordinate of a pair, and both through a matrix.
    "gaussian": {
        "weights": (1.0,),
        "means": ((0.5, -0.3),),
        "covariances": (((1.0, 0.6), (0.6, 0.8)),),
        "matrix": ((1.0, 0.0),),
        "observation": (1.2,),
        "noise": (0.3,),
    },
    "two_of_gaussian": {
        "weights": (1.0,),
        "means": ((0.0, 1.0),),
        "covariances": (((0.5, -0.2), (-0.2, 0.3)),),
        "matrix": ((0.8, -0.6), (0.3, 1.1)),
        "observation": (-0.4, 0.7),
        "noise": (0.5, 0.2),
    },
    # Modes that compete: two on either side of what is not observed, with and without noise; and
    # four along a slanted direction.
    "a": {**MIXTURE, "noise": (0.2,)},
    "a_noiseless": {**MIXTURE, "noise": (0.0,)},
    "b": {
        "weights": (0.2, 0.3, 0.3, 0.2),
        "means": ((-2.0, 0.0), (0.5, 1.5), (1.5, -1.0), (-0.5, -2.0)),
        "covariances": (
            ((0.2, 0.0), (0.0, 0.5)),
            ((0.3, 0.15), (0.15, 0.2)),
            ((0.15, 0.05), (0.05, 0.4)),
            ((0.4, -0.2), (-0.2, 0.3)),
        ),
        "matrix": ((0.6, -0.8),),
        "observation": (0.3,),
        "noise": (0.3,),
    },
}
PUBLISHED = {"method": "dps", "norm": "published", "scale": 0.3}


def cells(data, steps, process=("vp", "ve"), noise=None):
    """Every method that can be had of these data."""
    own = {"data": data, "process": process} | ({} if noise is None else {"noise": noise})
    run = {"sampler": WAYS, "steps": steps}
    named = [*(("dps",) if data != "a_noiseless" else ()), "exact", "pigdm", "tmpd"]
    replaces = {**own, "method": "replacement", **run}
    repaint = {**own, "method": "repaint", "jump_length": 1, "rounds": 10}
    found = [{**own, "method": tuple(sorted(named)), **run}, {**own, **PUBLISHED, **run}]
    if data == "two_of_gaussian":  # of one value the diagonal is all; of two nothing is left over
        return [*found, {**own, "method": "tmpd", "covariance": "diagonal", **run}]
    quarter = tuple(max(count // 4, 1) for count in steps)
    return [*found, replaces, {**repaint, "sampler": WAYS[0], "steps": quarter}]


def get_config(size: str = "full"):
    """The sweep."""
    if size == "quick":
        sweep = (
            {"data": "gaussian", "process": "vp", "method": ("exact", "tmpd")}
            | {"sampler": "ddim", "steps": 20},
            {"data": "a_noiseless", "noise": 0.1, "process": "ve", "method": "repaint"}
            | {"rounds": 2, "jump_length": 1, "sampler": WAYS[0], "steps": 10},
        )
    else:
        both = ("gaussian", "a", "b")
        sweep = [cell for data in both for cell in cells(data, (1000,))]
        sweep += [c for data in DATA if data not in both for c in cells(data, (1000,), "vp")]
        sweep += cells("a", (50, 200), process="vp")
        sweep += cells("a", (1000,), process="vp", noise=(1.0,))
    return ml_collections.ConfigDict(
        {
            "data": DATA,
            "num_samples": 256 if size == "quick" else 8000,
            "seed": 0,
            "sweep": tuple(sweep),
        }
    )
