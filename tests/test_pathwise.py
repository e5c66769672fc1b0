"""The topic `pathwise`: the contract tests, and the two estimators of one gradient (C34)."""

import contextlib
import io
import math
import re
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlverify.fast import pathwise as fast
from rlverify.quadrature import gradient_estimators
from rlverify.reference import pathwise as reference
from rlverify.reference.gaussian import gaussian_score
from rlverify.rounding import Tracked
from support import *  # noqa: F403 - the contract tests, spread over TOPIC
from test_quadrature import U, exact_mean, moment, polynomial, tracked_rule

TOPIC = "pathwise"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "pathwise.md"
NODES = 64  # doubled to 128


def estimates(reward, slope, mean, std, nodes):
    """Return weights and both estimates at the nodes, by the topic's own functions, with bounds."""
    points, weights = tracked_rule(nodes)
    actions = (mean + std * points)[:, None]
    means = np.full((nodes, 1), Tracked(mean, U), dtype=object)
    log_std = np.array([np.log(Tracked(std, U))], dtype=object)
    score = gaussian_score(means, log_std, actions)
    rewards = reward(actions)
    path = reference.gaussian_pathwise_gradient(means, log_std, points[:, None], slope(actions))
    by_score = np.concatenate([rewards * score.mean, rewards * score.log_std], axis=1)
    return weights, by_score, np.concatenate([path.mean, path.log_std], axis=1)


@pytest.mark.claim("C34")
@settings(max_examples=30)
@given(
    coefficients=st.lists(st.integers(-5, 5), min_size=1, max_size=6),
    mean=st.integers(-6, 6),
    std=st.sampled_from((0.25, 0.5, 1.0, 2.0)),
)
def test_both_estimators_have_the_gradient_as_mean(coefficients, mean, std):
    """For every polynomial: E f ∇log p = E f′ ∇a = ∇ E f, whose E f is a polynomial in μ and σ."""
    mean = mean / 4
    slopes = [k * c for k, c in enumerate(coefficients)][1:] or [0]
    weights, *both = estimates(polynomial(coefficients), polynomial(slopes), mean, std, 5)
    mu, sigma = Fraction(mean), Fraction(std)
    by_mean = exact_mean(slopes, mu, sigma)
    # ∂/∂log σ = σ ∂/∂σ of Σ c C(k, j) μ^(k−j) σ^j E x^j
    by_log_std = sum(
        j * c * math.comb(k, j) * mu ** (k - j) * sigma**j * moment(j)
        for k, c in enumerate(coefficients)
        for j in range(k + 1)
    )
    for samples in both:
        for found, wanted in zip(weights @ samples, (by_mean, by_log_std), strict=True):
            assert abs(Fraction(float(found)) - wanted) <= found.free_bound()


def squares(array):
    return array * array


@pytest.mark.claim("C34")
def test_on_a_parabola_the_pathwise_variance_is_smaller():
    """f = a² at μ = σ = 1: f(a)ε has variance 30 and f′(a) has 4; for log σ they are 136 and 12.

    By hand: E (1+ε)⁴ε² = 1 + 6·3 + 15 = 34 less 2²; E (1+ε)⁴(ε²−1)² = 140 less 2²;
    E 4(1+ε)²ε² = 4(1 + 3) = 16 less 2².
    """
    found = gradient_estimators(squares, lambda a: 2 * a, 1.0, 1.0, nodes=8)
    weights, score, path = estimates(squares, lambda a: 2 * a, 1.0, 1.0, 16)
    for expectation, samples, variances in (
        (found.score, score, (30, 136)), (found.pathwise, path, (4, 12)),
    ):  # fmt: skip
        for i, variance in enumerate(variances):
            mean, centred = weights @ samples[:, i], samples[:, i] - 2
            spread = weights @ (centred * centred)
            assert abs(expectation.mean[i] - 2) <= 2 * mean.free_bound()
            assert abs(expectation.covariance[i, i] - variance) <= 2 * spread.free_bound()


def wave_truncation(frequency, power, nodes):
    """Bound the quadrature error of x^power sin(ωx + φ) under the standard normal density.

    Let T be the Taylor polynomial of the wave of degree m − 1 with m = 2n − power, so that
    x^power T has degree 2n − 1 and is summed exactly. What is left is at most ω^m x^(2n)/m!;
    its expectation is ω^m E x^(2n)/m!, and its quadrature is no larger, for the error of
    x^(2n) is −n! (the sum is below the integral). Both together:
    """
    m = 2 * nodes - power
    return float(2 * Fraction(frequency) ** m * moment(2 * nodes) / math.factorial(m))


@pytest.mark.claim("C34")
def test_on_a_fast_wave_the_pathwise_variance_is_larger():
    """f = sin 2a at μ = 0, σ = 1: both means are 2e⁻², the variances 0.429 (score), 1.927 (path).

    Score: E ε² sin² 2ε = (1 − E ε² cos 4ε)/2 and E ε² cos 4ε = (1 − 16)e⁻⁸.
    Path: E 4 cos² 2ε = 2 + 2e⁻⁸.
    """
    gradient = 2 * math.exp(-2)
    variances = ((1 + 15 * math.exp(-8)) / 2 - gradient**2, 2 + 2 * math.exp(-8) - gradient**2)
    found = gradient_estimators(
        lambda a: np.sin(2 * a), lambda a: 2 * np.cos(2 * a), 0.0, 1.0, nodes=NODES
    )
    weights, score, path = estimates(
        lambda a: np.sin(2 * a), lambda a: 2 * np.cos(2 * a), 0.0, 1.0, 2 * NODES
    )
    cases = zip((found.score, found.pathwise), (score, path), (1, 0), variances, strict=True)
    for expectation, samples, power, variance in cases:
        mean = weights @ samples[:, 0]
        room = 2 * mean.free_bound() + 2 * wave_truncation(2, power, 2 * NODES)
        assert abs(expectation.mean[0] - gradient) <= room
        centred = samples[:, 0] - Tracked(gradient, U)
        room = 2 * (weights @ (centred * centred)).free_bound()
        # squared, a wave has twice the frequency: 4 sin² 2a = 2 − 2 cos 4a
        assert abs(expectation.covariance[0, 0] - variance) <= room + 2 * wave_truncation(
            4, 2 * power, 2 * NODES
        ) + 4 * gradient * wave_truncation(2, power, 2 * NODES)
    assert found.pathwise.covariance[0, 0] > 4 * found.score.covariance[0, 0]


SPACING, REACH = 0.125, 38.0  # of the trapezoidal rule; the density beyond is below 10⁻³⁰⁰


def trapezoid(function):
    """Sum a function of tracked standard normal numbers by the trapezoidal rule."""
    grid = np.arange(-REACH, REACH + SPACING, SPACING)
    points = np.array([Tracked(x, U) for x in grid.tolist()], dtype=object)
    density = np.exp(-(points * points) / 2) * (SPACING / math.sqrt(2 * math.pi))
    return density @ function(points)


def strip_truncation(scale, std, power):
    """Bound the error of that rule for scale · tanh(μ + σx)^k x^power, k any, under the density.

    Trefethen and Weideman 2014, SIAM Review 56, theorem 5.1: for a function analytic in the strip
    |Im x| < a whose absolute integrals along it are at most M, the error is at most
    2M/(e^(2πa/h) − 1). There |tanh(u + iv)|² = (sinh²u + sin²v)/(sinh²u + cos²v) is at most
    max(1, tan²v), the density grows by e^(a²/2), and |x|^power by no more than (|x| + a)^power.
    """
    a = 1.2 / std
    moments = sum(math.comb(power, j) * a ** (power - j) * math.sqrt(moment(2 * j))
                  for j in range(power + 1))  # fmt: skip
    largest = scale * math.tan(1.2) ** 4 * math.exp(a * a / 2) * moments
    return 2 * largest / math.expm1(2 * math.pi * a / SPACING)


@pytest.mark.claim("C34")
@pytest.mark.parametrize(("mean", "std"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.5)])
def test_on_a_saturating_reward_both_means_agree(mean, std):
    """f = tanh: by quadrature, and by the trapezoidal rule with a proved truncation error."""

    def slope(actions):
        after = np.tanh(actions)
        return 1 - after * after

    found = gradient_estimators(np.tanh, slope, mean, std, nodes=NODES)
    parts = {
        "score": lambda x: np.tanh(mean + std * x) * (x / std),
        "pathwise": lambda x: slope(mean + std * x),
    }
    sums = {name: trapezoid(part) for name, part in parts.items()}
    proved = {"score": strip_truncation(1 / std, std, 1), "pathwise": strip_truncation(2, std, 0)}
    room = sum(sums[name].free_bound() + proved[name] for name in sums)
    assert abs(sums["score"].value - sums["pathwise"].value) <= room
    for name, samples in zip(
        sums, estimates(np.tanh, slope, mean, std, 2 * NODES)[1:], strict=True
    ):
        expectation = getattr(found, name)
        weights = tracked_rule(2 * NODES)[1]
        rounding = 2 * (weights @ samples[:, 0]).free_bound() + sums[name].free_bound()
        gap = abs(expectation.mean[0] - sums[name].value)
        assert gap <= rounding + proved[name] + expectation.error[0]
        # the variance too: E of the square less the square of E
        second = trapezoid(lambda x, part=parts[name]: part(x) * part(x))
        spread = second.value - sums[name].value ** 2
        centred = samples[:, 0] - sums[name]
        rounding = 2 * (weights @ (centred * centred)).free_bound() + second.free_bound()
        rounding += 2 * abs(sums[name].value) * sums[name].free_bound()
        proved_second = strip_truncation((1 / std if name == "score" else 2) ** 2, std, 2)
        gap = abs(expectation.covariance[0, 0] - spread)
        assert gap <= rounding + proved_second + expectation.covariance_error[0, 0]
    assert found.pathwise.covariance[0, 0] < found.score.covariance[0, 0]


@pytest.mark.claim("C34")
def test_the_error_of_a_saturating_slope_follows_from_the_strip_it_is_smooth_in():
    """|f⁽²ⁿ⁾| ≤ (2n)!/(r²ⁿ cos² r) for f = 1/cosh² and r < π/2 (Cauchy), so n!(σ/r)²ⁿ/cos² r."""
    std, nodes, r = 0.25, 16, 1.4
    found = gradient_estimators(np.tanh, lambda a: 1 - np.tanh(a) ** 2, 0.0, std, nodes=nodes)
    derived = [math.factorial(n) * (std / r) ** (2 * n) / math.cos(r) ** 2 for n in (16, 32)]
    _, _, path = estimates(np.tanh, lambda a: 1 - np.tanh(a) * np.tanh(a), 0.0, std, 32)
    rounding = 4 * (tracked_rule(32)[1] @ path[:, 0]).free_bound()
    assert found.pathwise.error[0] <= sum(derived) + rounding
    assert derived[1] < derived[0] < math.sqrt(U)  # it says something


@pytest.mark.claim("C34")
@pytest.mark.parametrize(("mean", "std"), [(0.5, 1.0), (-0.25, 0.5)])
def test_on_a_step_the_score_alone_sees_the_gradient(mean, std):
    """f = 1 where a > 0: E f = Φ(μ/σ), so ∂/∂μ = φ(μ/σ)/σ; f′ is 0, and so is the pathwise mean.

    The score's moments are E f ε/σ = φ(m)/σ and E f ε²/σ² = (Φ(m) − m φ(m))/σ² with m = μ/σ;
    here to 46 digits, from the definition of an expectation.
    """
    zeros = np.zeros((5, 1))
    noise = np.linspace(-2, 2, 5)[:, None]
    nothing = reference.gaussian_pathwise_gradient(zeros + mean, np.zeros(1), noise, zeros)
    assert not nothing.mean.any()
    assert not nothing.log_std.any()
    with mpmath.workdps(60):
        mu, sigma = mpmath.mpf(mean), mpmath.mpf(std)
        density, cumulative = mpmath.npdf(mu / sigma), mpmath.ncdf(mu / sigma)

        def score(action):
            return (action - mu) / sigma**2

        def expected(function):
            """Return E f(a) g(a) and what the quadrature says of its own error."""
            return mpmath.quad(
                lambda a: function(a) * mpmath.npdf(a, mu, sigma),
                [0, 1, 2, 4, 8, 16],
                error=True,
            )

        # beyond 16 lies less than e^(−16²/2)·16²/σ², of either
        tail = mpmath.exp(-(mpmath.mpf(15) ** 2) / 2) * 256 / sigma**2
        value, slack = expected(score)
        assert abs(value - density / sigma) <= slack + tail
        second, slack = expected(lambda a: score(a) ** 2)
        closed = (cumulative - mu / sigma * density) / sigma**2
        assert abs(second - closed) <= slack + tail
        assert abs(value) > 10 * (slack + tail)  # which the pathwise estimate, 0, is not


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_autograd_through_the_sample_gives_the_same_estimates(seed):
    """What a program does that samples with a path and calls backward."""
    rng = np.random.default_rng(seed)
    mean, log_std, noise = rng.integers(-64, 65, (3, 4, 2)) / 32
    parameters = [torch.tensor(x, requires_grad=True) for x in (mean, log_std)]
    actions = parameters[0] + parameters[1].exp() * torch.tensor(noise)
    rewards = actions * actions * 3 - actions
    theirs = torch.autograd.grad(rewards.sum(), parameters)
    slopes = (6 * actions - 1).detach()
    ours = fast.gaussian_pathwise_gradient(
        parameters[0].detach(), parameters[1].detach(), torch.tensor(noise), slopes
    )
    tracked = [np.vectorize(lambda x: Tracked(float(x), U), otypes=[object])(x)
               for x in (mean, log_std, noise)]  # fmt: skip
    at = tracked[0] + np.exp(tracked[1]) * tracked[2]
    bounds = reference.gaussian_pathwise_gradient(*tracked, 6 * at - 1)
    for got, wanted, bound in zip(ours, theirs, bounds, strict=True):
        allowed = np.vectorize(lambda x: 2 * x.free_bound(), otypes=[float])(bound)
        assert ((got - wanted).abs().numpy() <= allowed).all()


def test_the_page_shows_what_is_computed():
    """Its program prints its table, number by number."""
    text = PAGE.read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, PAGE.name, "exec"), {})
    assert printed.getvalue() == shown
