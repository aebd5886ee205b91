"""What each guidance method keeps, combines and refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from scoresde import guidance, networks, predictions, samplers, sdes
from scoresde.condition import check_condition
from scoresde.denoiser import Denoiser
from scoresde.guidance import (
    Autoguidance,
    ClassifierFreeGuidance,
    ClassifierGuidance,
    ClipX0,
    DynamicThresholding,
    Interval,
    Temperature,
)
from scoresde.guidance.base import extrapolate
from scoresde.registry import UsageError

SDE = sdes.VP()
DATA = mixtures.images()
EXACT = DATA.denoiser(SDE)
X = 2 * jax.random.normal(jax.random.key(1), (6, 1, 2, 1))
T = jnp.array([0.02, 0.1, 0.3, 0.5, 0.8, 1.0])
LABEL = {"label": jnp.array([0, 1, 1, 0, 1, 0])}
NETWORK = networks.get("ncsnpp", nf=8, ch_mult=(1,), num_res_blocks=1, num_classes=3)


def trained(network=NETWORK, **options):
    """A denoiser of 4x4 images, with random weights none of which is zero."""
    params = network.init(jax.random.key(0), (4, 4, 1))
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    leaves = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves)]
    kind = predictions.Noise(**options)
    return Denoiser(SDE, kind, network.apply, structure.unflatten(leaves))


def assert_equal(one, other, **tolerance):
    """Bit by bit, unless there is a tolerance."""
    check = np.testing.assert_allclose if tolerance else np.testing.assert_array_equal
    for name in ("x0", "noise"):
        check(getattr(one, name), getattr(other, name), **tolerance)


def assert_a_pair(prediction, x=X, t=T):
    """x_t = alpha x0 + sigma noise."""
    again = SDE.perturb(prediction.x0, prediction.noise, t)
    np.testing.assert_allclose(again, x, atol=2e-5 * np.abs(prediction.noise).max())


@pytest.fixture(scope="module")
def network():
    return trained()


IMAGES = jax.random.normal(jax.random.key(3), (4, 4, 4, 1))
TIMES = jnp.array([0.1, 0.4, 0.7, 1.0])
CLASSES = {"label": jnp.array([0, 2, 1, 2], jnp.uint8)}


@jax.jit
def call(denoiser, x, t, condition):
    return denoiser(x, t, condition)


def test_guidance_extrapolates_from_the_network_without_the_class_in_one_call(network):
    told = call(network, IMAGES, TIMES, CLASSES)
    untold = call(network, IMAGES, TIMES, None)
    assert np.abs(told.noise - untold.noise).max() > 0.02
    calls = []

    def counted(params, x, t, condition):
        calls.append(x.shape)
        return NETWORK.apply(params, x, t, condition)

    class Counted:
        absent = NETWORK.absent

        def __call__(self, *arguments):
            return counted(*arguments)

    counting = dataclasses.replace(network, network=Counted())
    guided = call(ClassifierFreeGuidance(counting, 3.0), IMAGES, TIMES, CLASSES)
    assert calls == [(8, 4, 4, 1)]
    expected = jax.tree.map(lambda c, u: u + 3 * (c - u), told, untold)
    size = np.abs(expected.x0).max()
    assert_equal(guided, expected, rtol=1e-4, atol=1e-5 * size)
    one_hot = {"label": jax.nn.one_hot(CLASSES["label"], 3)}
    rows = call(ClassifierFreeGuidance(network, 3.0), IMAGES, TIMES, one_hot)
    assert_equal(rows, guided, rtol=1e-4, atol=1e-5 * size)


def test_a_function_that_cannot_be_told_no_class_by_a_value_is_called_without_it():
    def network(params, x, t, condition):
        return x if condition is None else x + condition["label"][:, None, None, None]

    guided = ClassifierFreeGuidance(Denoiser(SDE, predictions.Noise(), network, None), 3.0)
    label = jnp.arange(6.0)
    got = guided(X, T, {"label": label}).noise
    np.testing.assert_allclose(got, X + 3 * label[:, None, None, None], rtol=1e-6)


def test_other_conditions_are_told_to_both():
    def network(params, x, t, condition):
        label = condition.get("label", 0 * condition["shift"])
        return x + (condition["shift"] + label)[:, None, None, None]

    guided = ClassifierFreeGuidance(Denoiser(SDE, predictions.Noise(), network, None), 2.0)
    shift = jnp.arange(6.0)
    got = guided(X, T, {"label": jnp.ones(6), "shift": shift}).noise
    np.testing.assert_allclose(got, X + shift[:, None, None, None] + 2, rtol=1e-6)


@pytest.mark.parametrize("scale", [1, 1.0, np.float64(1), jnp.ones(())])
def test_scale_1_is_the_conditional_model_to_the_bit_of_the_networks_output(scale, network):
    guided = ClassifierFreeGuidance(network, scale)
    expected = call(network, IMAGES, TIMES, CLASSES)
    exact = guided.is_neutral
    assert exact == (not isinstance(scale, jax.Array))
    # A scale on the device is not known: the network runs on the doubled batch.
    tolerance = {} if exact else {"rtol": 1e-4, "atol": 1e-3}
    assert_equal(call(guided, IMAGES, TIMES, CLASSES), expected, **tolerance)
    if not exact:
        assert_equal(extrapolate(expected, call(network, IMAGES, TIMES, None), scale), expected)


def test_a_learned_variance_is_the_conditional_models():
    network = networks.get(
        "ncsnpp", nf=8, ch_mult=(1,), num_res_blocks=1, num_classes=3, outputs_per_channel=2
    )
    denoiser = trained(network, learned_variance=True)
    guided = call(ClassifierFreeGuidance(denoiser, 4.0), IMAGES, TIMES, CLASSES)
    told = call(denoiser, IMAGES, TIMES, CLASSES)
    assert np.abs(told.variance - call(denoiser, IMAGES, TIMES, None).variance).max() > 1e-3
    np.testing.assert_allclose(guided.variance, told.variance, rtol=1e-4, atol=1e-3)


def test_autoguidance_extrapolates_from_the_weaker_model():
    weaker = mixtures.of_case("mixtures").denoiser(SDE)
    better, x = mixtures.of_case("overlapping").denoiser(SDE), X[:, 0, 0]
    got = Autoguidance(better, weaker, 2.0)(x, T, LABEL)
    one, other = better(x, T, LABEL), weaker(x, T, LABEL)
    assert_equal(got, jax.tree.map(lambda a, b: 2 * a - b, one, other), rtol=1e-4, atol=1e-5)
    assert_equal(Autoguidance(better, weaker, jnp.ones(()))(x, T, LABEL), one)
    assert_equal(Autoguidance(better, weaker, 0.0)(x, T, LABEL), other, atol=1e-4)


def test_a_weaker_model_without_classes_is_told_none():
    unconditional = networks.get("ncsnpp", nf=8, ch_mult=(1,), num_res_blocks=1)
    better, weaker = trained(), trained(unconditional)
    got = call(Autoguidance(better, weaker, 3.0), IMAGES, TIMES, CLASSES)
    one, other = call(better, IMAGES, TIMES, CLASSES), call(weaker, IMAGES, TIMES, None)
    assert_equal(got, jax.tree.map(lambda a, b: 3 * a - 2 * b, one, other), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", predictions.PREDICTIONS)
def test_a_classifier_adds_its_gradient_to_the_score_whatever_is_predicted(kind):
    # Each kind on one of the processes.
    number = list(predictions.PREDICTIONS).index(kind)
    sde = (SDE, sdes.VE(), sdes.RectifiedFlow())[number % 3]
    denoiser = Denoiser(sde, predictions.get(kind), lambda params, x, t, condition: 0.3 * x, None)

    def classifier(x, t, condition):
        return -jnp.sum((x - condition["label"][:, None, None, None]) ** 2, (1, 2, 3)) * t

    t = jnp.array([0.02, 0.1, 0.3, 0.5, 0.8, 0.9])
    guided = ClassifierGuidance(denoiser, classifier, 1.5)
    gradient = -2 * (X - LABEL["label"][:, None, None, None]) * t[:, None, None, None]
    expected = denoiser.score(X, t) + 1.5 * gradient
    prediction = call(guided, X, t, LABEL)
    score = -prediction.noise / sde.sigma(t)[:, None, None, None]
    np.testing.assert_allclose(score, expected, rtol=1e-4, atol=1e-4)
    again = sde.perturb(prediction.x0, prediction.noise, t)
    np.testing.assert_allclose(again, X, atol=2e-6 * np.abs(prediction.noise).max() * 50)


def test_an_unconditional_network_is_told_nothing_of_the_label_that_guides_it():
    network = networks.get("ncsnpp", nf=8, ch_mult=(1,), num_res_blocks=1)
    denoiser = trained(network)
    classify = guidance.NoisyClassifier(SDE, linear, jnp.ones((16, 3)), num_classes=3)
    guided = ClassifierGuidance(denoiser, classify, 1.0)
    assert check_condition(CLASSES, 4, guided).keys() == {"label"}
    assert np.isfinite(guided(IMAGES, TIMES, CLASSES).x0).all()
    with pytest.raises(UsageError, match=r"integers 0 \.\. 2, the classifier's"):
        guided.check_condition({"label": np.array([0, 3])})


def linear(params, x, noise_condition):
    return x.reshape(len(x), -1) @ params


def test_a_temperature_of_the_classifier_divides_its_logits():
    params = jax.random.normal(jax.random.key(0), (16, 3))
    hot = guidance.NoisyClassifier(SDE, linear, params, temperature=2.0)
    cold = guidance.NoisyClassifier(SDE, linear, params / 2)
    np.testing.assert_allclose(*(c(IMAGES, TIMES, CLASSES) for c in (hot, cold)), rtol=1e-5)


def test_clipping_keeps_x0_in_its_range_and_the_noise_with_it():
    prediction = call(ClipX0(EXACT, -0.5, 0.25), X, T, None)
    expected = np.clip(call(EXACT, X, T, None).x0, -0.5, 0.25)
    np.testing.assert_allclose(prediction.x0, expected, rtol=1e-6)
    assert_a_pair(prediction)


@pytest.mark.parametrize("name", ["clip", "dynamic_thresholding"])
@pytest.mark.parametrize("wild", [1.0, 1e4, 1e12])
def test_what_is_far_out_of_the_range_still_adds_up_to_x(name, wild):
    network = Denoiser(SDE, predictions.Noise(), lambda params, x, t, _: x + wild * x**3, None)
    prediction = call(guidance.get(name, network), X, T, None)
    np.testing.assert_allclose(SDE.perturb(*prediction[:2], T), X, rtol=1e-5, atol=1e-6)


def test_published_samplers_clip_the_model_before_a_classifier_and_after_other_guidance():
    range_ = -0.5, 0.25
    pulled = guidance.clipped(ClassifierGuidance(EXACT, DATA.classifier(SDE), 2.0), *range_)
    inner = call(ClipX0(EXACT, *range_), X, T, LABEL)
    gradient = pulled.gradient(X, T, LABEL)
    sigma = SDE.sigma(T)[:, None, None, None]
    np.testing.assert_allclose(
        call(pulled, X, T, LABEL).noise, inner.noise - 2 * sigma * gradient, rtol=1e-5, atol=1e-5
    )
    x0 = call(guidance.clipped(Temperature(EXACT, 0.1), *range_), X, T, None).x0
    assert x0.min() == range_[0] and x0.max() == range_[1]


def test_dynamic_thresholding_scales_each_image_into_its_range():
    scaled = call(DynamicThresholding(EXACT, 1.0, -0.5, 0.25), X, T, None)
    assert scaled.x0.min() >= -0.5 and scaled.x0.max() <= 0.25
    assert_a_pair(scaled)
    alone = call(DynamicThresholding(EXACT, 1.0, -0.5, 0.25), X[2:3], T[2:3], None)
    np.testing.assert_allclose(alone.x0, scaled.x0[2:3], rtol=1e-6)


def test_a_temperature_divides_the_score():
    cold = Temperature(EXACT, 0.5)
    np.testing.assert_allclose(cold.score(X, T), 2 * EXACT.score(X, T), rtol=1e-5)
    assert_a_pair(cold(X, T))


NEUTRAL = {
    "cfg": lambda d: ClassifierFreeGuidance(d, 1.0),
    "cfg_above_all_levels": lambda d: ClassifierFreeGuidance(d, 3.0, (1e3, 2e3)),
    "cfg_below_all_levels": lambda d: ClassifierFreeGuidance(d, 3.0, (0.0, 1e-6)),
    "autoguidance": lambda d: Autoguidance(d, DATA.denoiser(SDE), 1.0),
    "classifier": lambda d: ClassifierGuidance(d, DATA.classifier(SDE), 0.0),
    "classifier_on_the_device": lambda d: ClassifierGuidance(
        d, DATA.classifier(SDE), jnp.zeros(())
    ),
    "clip": lambda d: ClipX0(d, -1e3, 1e3),
    "dynamic_thresholding": lambda d: DynamicThresholding(d, 1.0, -100.0, 1e3),
    "temperature": lambda d: Temperature(d, 1.0),
}


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_setting_changes_no_bit(name):
    guided = NEUTRAL[name](EXACT)
    assert_equal(guided(X, T, LABEL), EXACT(X, T, LABEL))
    # What is known to be neutral is the same program, else XLA fuses another one.
    known = getattr(guided, "is_neutral", False)
    tolerance = {} if known else {"rtol": 1e-5, "atol": 1e-5}
    assert known == (name not in ("classifier_on_the_device", "clip", "dynamic_thresholding"))
    assert_equal(call(guided, X, T, LABEL), call(EXACT, X, T, LABEL), **tolerance)


def test_another_scale_compiles_nothing_anew_and_has_a_derivative():
    traced = []

    @jax.jit
    def total(guided):
        traced.append(1)
        return jnp.sum(guided(X, T, LABEL).x0 ** 2)

    for scale in (2.0, 3.0, 0.0, 5.5):
        total(ClassifierFreeGuidance(EXACT, scale))
    assert len(traced) == 1

    slope = jax.grad(lambda scale: total(ClassifierFreeGuidance(EXACT, scale)))(1.0)
    assert np.isfinite(slope) and slope != 0


PLAIN = Denoiser(SDE, predictions.Noise(), lambda params, x, t, condition: x, None)
UNCONDITIONAL = Denoiser(
    SDE, predictions.Noise(), networks.get("ncsnpp", nf=8, ch_mult=(1,)).apply, None
)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: ClassifierFreeGuidance(UNCONDITIONAL, 2.0),
            "needs a network that is told it. This one is not",
        ),
        (lambda: ClassifierFreeGuidance(EXACT, 2.0, guided="text"), "by 'text'.* reads label"),
        # An exact mixture is told nothing: guided by that it would stay what it is, in silence.
        (lambda: ClassifierFreeGuidance(DATA.data.denoiser(SDE), 2.0), "reads nothing"),
        (lambda: ClassifierFreeGuidance(EXACT, "2"), "must be a number, not '2'"),
        (lambda: ClassifierFreeGuidance(EXACT, True), "must be a number, not True"),
        (lambda: ClassifierFreeGuidance(EXACT, float("nan")), "must be a finite number"),
        (lambda: ClassifierFreeGuidance(EXACT, np.ones(6)), "must be a number"),
        (lambda: ClassifierFreeGuidance(None, 2.0), "denoiser is needed"),
        (lambda: ClassifierFreeGuidance(EXACT, 2.0, (2.0, 1.0)), "low < high"),
        (lambda: ClassifierFreeGuidance(EXACT, 2.0, 3.0), "in noise levels sigma / alpha"),
        (lambda: Interval(0.0, 1.0, of="sigma"), "noise_level or time, not 'sigma'"),
        (
            lambda: ClassifierFreeGuidance(EXACT, 2.0)(X, T),
            "needs the condition 'label'.*told \\[\\]",
        ),
        (lambda: Autoguidance(EXACT, DATA.denoiser(sdes.VE()), 2.0), "two models of one process"),
        (lambda: Autoguidance(EXACT, DATA.denoiser(sdes.VP(t_min=0.1)), 2.0), "of one process"),
        (lambda: ClassifierGuidance(EXACT, None, 1.0), "A classifier is a function"),
        (lambda: ClassifierGuidance(EXACT, lambda x, t, c: x, 1.0)(X, T), r"\[6\], not of shape"),
        (lambda: guidance.NoisyClassifier(SDE, linear, None)(X, T), "the condition 'label'"),
        (lambda: ClipX0(EXACT, 1.0, -1.0), "low < high"),
        (lambda: ClipX0(EXACT, None, 1.0), "must be a number, not None"),
        (lambda: DynamicThresholding(EXACT, 99.5), r"a share in \(0, 1\]"),
        (lambda: Temperature(EXACT, 0.0), "must be positive"),
        (lambda: guidance.get("cgf", EXACT), "Did you mean 'cfg'"),
        (lambda: guidance.get("cfg", EXACT), "needs the option 'scale'"),
        (lambda: guidance.get("cfg", EXACT, scale="2"), "must be a number"),
    ],
)
def test_what_is_not_possible_is_said_in_one_line(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_label_that_is_missing_or_no_class_is_refused_before_anything_is_computed(network):
    sampler, guided = samplers.get("ddim"), ClassifierFreeGuidance(network, 2.0)
    for condition in ({"label": np.array([0, 4])}, None):
        with pytest.raises(UsageError, match="label"):
            samplers.sample(
                jax.random.key(0), sampler, guided, (2, 4, 4, 1), steps=2, condition=condition
            )
