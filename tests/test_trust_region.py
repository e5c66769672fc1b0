"""Claims about trust regions: C17, C18, C21, on exact quantities.

Policies and processes are rational, and so are J, L, A, scores and Fisher matrices. The one thing
that is not rational is a logarithm in a divergence: it stands between two fractions.
"""

import math
from decimal import Context, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from exact_cases import deterministic, some
from finite_problems import policies
from rational_mdp import Dual, Truth, dual, solve
from rlverify.enumeration import rational_policy
from rlverify.reference.gaussian import gaussian_kl
from rlverify.rounding import PRECISIONS, Tracked
from rlverify.tabular_envs.environments import two_button_game
from rlverify.tabular_envs.garnet import garnet

DIGITS = 50


def log_between(x):
    """Return two fractions that log x lies between; of 1 both are 0."""
    # Python's decimal logarithm is rounded correctly: off by half a unit of the last digit
    parts = [Fraction(Decimal(n).ln(Context(prec=DIGITS))) for n in (x.numerator, x.denominator)]
    error = sum(map(abs, parts)) / (2 * 10 ** (DIGITS - 1))
    return parts[0] - parts[1] - error, parts[0] - parts[1] + error


def divergence(p, q):
    """Return two fractions that KL(p‖q) lies between."""
    pairs = [(a, log_between(a / b)) for a, b in zip(p, q, strict=True) if a != 0]
    return sum(a * low for a, (low, _) in pairs), sum(a * high for a, (_, high) in pairs)


def greatest_divergence(old, new):
    """Return two fractions that max_s KL(old(·|s)‖new(·|s)) lies between."""
    found = [divergence(p, q) for p, q in zip(old, new, strict=True)]
    return max(low for low, _ in found), max(high for _, high in found)


class Old:
    """A policy, and what its data say of another one."""

    def __init__(self, mdp, policy, gamma):
        self.mdp, self.policy, self.gamma = mdp, policy, gamma
        truth = Truth(mdp, policy.tolist(), gamma)
        values = truth.values()
        self.visits = truth.visits()
        self.advantages = [[truth.q(s, a, values) - values[s] for a in truth.a] for s in truth.s]
        self.objective = sum(p * v for p, v in zip(truth.start, values, strict=True))

    def gain(self, new):
        """J(new) − J(old)."""
        return Old(self.mdp, new, self.gamma).objective - self.objective

    def surrogate(self, new, visits=None):
        """L(new) = Σ d(s) Σ new(a|s) A(s,a), where d sums to 1/(1−γ) if nothing ends."""
        return sum(
            d * sum(p * a for p, a in zip(row, gains, strict=True))
            for d, row, gains in zip(visits or self.visits, new, self.advantages, strict=True)
        )

    @property
    def largest(self):
        """max |A|."""
        return max(abs(a) for row in self.advantages for a in row)

    @property
    def constant(self):
        """C = 4γ max |A| / (1−γ)²."""
        return 4 * self.gamma * self.largest / (1 - self.gamma) ** 2


def towards(old, other, share):
    """Return the policy that takes the other's action with some probability, else the old one's."""
    return old + share * (other - old)


GAMMAS = st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(7, 8), Fraction(63, 64)])
SIZES = [(2, 2, 2), (3, 2, 2), (2, 3, 1), (4, 2, 1)]


@st.composite
def processes(draw):
    """Return a random process, a discount below 1, and two policies that take every action."""
    mdp = garnet(
        *draw(st.sampled_from(SIZES)),
        seed=draw(st.integers(0, 2**32)),
        ending=draw(st.sampled_from([0.0, 0.25])),
    )
    return mdp, draw(GAMMAS), draw(policies(mdp, 1)), draw(policies(mdp, 1))


# C17


@pytest.mark.claim("C17")
@given(problem=processes(), share=st.sampled_from([Fraction(1, 4**k) for k in range(10)]))
def test_the_surrogate_is_within_the_bound(problem, share):
    """The shares are small too: there L must have the right slope, for KL falls with its square."""
    mdp, gamma, policy, other = problem
    new, old = towards(policy, other, share), Old(mdp, policy, gamma)
    at_most, _ = greatest_divergence(policy, new)
    assert abs(old.gain(new) - old.surrogate(new)) <= old.constant * at_most


@pytest.mark.claim("C17")
def test_with_normalised_visits_it_is_not():
    """Two buttons, γ = ½, from even to 33/64: J rises by 1/32, and so does L; half of it is off
    by 1/64, where the bound is 8 KL < 8 · ½ (1/32)²/(1 − (1/32)²) < 1/200."""
    mdp, gamma = two_button_game(0), Fraction(1, 2)
    even, new = rational_policy([[1, 1]] * 2), rational_policy([[33, 31], [1, 1]])
    old = Old(mdp, even, gamma)
    _, at_most = greatest_divergence(even, new)
    assert old.constant == 8
    assert old.gain(new) == old.surrogate(new) == Fraction(1, 32)
    halved = old.surrogate(new, [(1 - gamma) * d for d in old.visits])
    assert abs(old.gain(new) - halved) == Fraction(1, 64) > old.constant * at_most


def walk(reach):
    """Start in the middle of a walled line; a step away from it pays 1, one back costs 1."""
    width = 2 * reach + 1
    moves = {
        (cell, a): (
            min(max(cell + side, 0), width - 1),
            side * ((cell > reach) - (cell < reach)),
            False,
        )
        for cell in range(width)
        for a, side in enumerate((-1, 1))
    }
    return deterministic(moves, start=[*[0] * reach, 1])


@pytest.mark.claim("C17")
def test_with_one_horizon_less_in_the_constant_it_is_not():
    """An even walk, then one that steps right with 5/8: A = ±1, and the walk drifts to where
    right pays, the further the longer it lasts. The bound with 1/(1−γ) in place of its square
    is broken at γ = 15/16, the claimed one is not."""
    mdp, gamma = walk(8), Fraction(15, 16)
    even, new = rational_policy([[1, 1]] * 17), rational_policy([[3, 5]] * 17)
    old = Old(mdp, even, gamma)
    assert old.largest == 1
    at_least, at_most = greatest_divergence(even, new)
    missed = abs(old.gain(new) - old.surrogate(new))
    assert (1 - gamma) * old.constant * at_most < missed <= old.constant * at_least


# C18


def best(old, candidates, constant):
    """Return the candidate with the greatest L − C max KL, and that number, or one below it."""
    bounds = [
        old.surrogate(new) - constant * greatest_divergence(old.policy, new)[1]
        for new in candidates
    ]
    chosen = max(range(len(candidates)), key=bounds.__getitem__)
    return candidates[chosen], bounds[chosen]


@pytest.mark.claim("C18")
@settings(max_examples=max(1, settings.default.max_examples // 2))
@given(problem=processes(), data=st.data())
def test_minorise_maximise_never_loses(problem, data):
    """Maximised over any set of policies that holds the old one, and with any way there: it gains
    at least what the minorant promises, and something wherever the surrogate rises."""
    mdp, gamma, policy, other = problem
    others = [other, data.draw(policies(mdp, 1)), data.draw(policies(mdp, 1))]
    for _ in range(3):
        old = Old(mdp, policy, gamma)
        steps = [towards(policy, one, Fraction(1, 8**k)) for one in others for k in range(12)]
        new, promised = best(old, [policy, *steps], old.constant)
        gain = old.gain(new)
        assert gain >= promised >= 0
        if any(old.surrogate(one) > 0 for one in others):
            assert gain > 0
        policy = new


@pytest.mark.claim("C18")
def test_maximising_the_surrogate_alone_loses():
    """State 1 is worth most where button 0 is pressed in it, and is seldom reached.

    The other policy goes there always and presses the wrong button: L sees the old worth of
    state 1 and the few old visits to it, and rises while J falls. So it does with a thousandth
    of the constant; with all of it the step on the same line is shorter, and J rises.
    """
    mdp = deterministic({(0, 0): (2, 0, True), (0, 1): (1, 0, False), (1, 0): (2, 1, True),
                         (1, 1): (2, 0, True)})  # fmt: skip
    gamma = Fraction(1, 2)
    policy = rational_policy([[12, 4], [12, 4], [8, 8]])
    other = rational_policy([[1, 15], [1, 15], [8, 8]])
    old = Old(mdp, policy, gamma)
    assert old.objective == Fraction(3, 32)
    assert old.surrogate(other) == Fraction(11, 64)
    assert old.gain(other) == Fraction(-33, 512)
    line = [towards(policy, other, Fraction(1, 2**k)) for k in range(12)]
    for constant in (0, old.constant / 1000):
        assert old.gain(best(old, [policy, *line], constant)[0]) < 0
    new, promised = best(old, [policy, *line], old.constant)
    assert old.gain(new) > promised > 0


# C21


class Model:
    """A policy whose logits are log w(s,a) + Σᵢ features(s,a,i) θᵢ, near θ = 0."""

    def __init__(self, mdp, gamma, policy, features):
        self.mdp, self.gamma, self.policy, self.features = mdp, gamma, policy, features
        self.visits = Truth(mdp, policy, gamma).visits()

    def moved(self, slopes):
        """The policy as dual numbers, while θ moves as given: exp(0 + b ε) = 1 + b ε."""
        weights = [
            [
                Dual(p, p * sum(x * b for x, b in zip(row, slopes, strict=True)))
                for p, row in zip(ps, rows, strict=True)
            ]
            for ps, rows in zip(self.policy, self.features, strict=True)
        ]
        return [[w / sum(row[1:], row[0]) for w in row] for row in weights]

    def directions(self, change):
        """Gradient and natural direction in parameters φ, where θ = change(φ) and φ is near 0.

        Both derivatives are carried through the change by dual numbers: no chain rule here.
        """
        size = len(self.features[0][0])
        gradient, slopes = [], []
        for j in range(size):
            at = change([Dual(Fraction(0), Fraction(i == j)) for i in range(size)])
            assert all(x.a == 0 for x in at)
            policy = self.moved([x.b for x in at])
            truth = Truth(self.mdp, policy, self.gamma)
            worth = zip(truth.start, truth.values(), strict=True)
            gradient.append(sum(p * dual(v).b for p, v in worth))
            slopes.append([[x.b for x in row] for row in policy])
        # E[score scoreᵀ] over what is visited, score = ∇π/π
        fisher = [
            [
                sum(
                    d * sum(x * y / p for x, y, p in zip(xs, ys, ps, strict=True))
                    for d, xs, ys, ps in zip(self.visits, one, two, self.policy, strict=True)
                )
                for two in slopes
            ]
            for one in slopes
        ]
        return gradient, solve(fisher, gradient)


def small(rng, *shape):
    """Draw an array of small integers as nested lists of fractions."""
    numbers = [Fraction(int(n)) for n in rng.integers(-3, 4, size=math.prod(shape))]
    return np.array(numbers, dtype=object).reshape(shape).tolist()


def bent(matrix):
    """Return θ(φ) = Mφ + |φ|²."""

    def change(phi):
        square = sum((x * x for x in phi), Dual(Fraction(0)))
        return [sum((x * m for x, m in zip(phi, row, strict=True)), square) for row in matrix]

    return change


def product(matrix, vector):
    return [sum(m * x for m, x in zip(row, vector, strict=True)) for row in matrix]


@pytest.mark.claim("C21")
@some
@given(problem=processes(), size=st.integers(1, 2), seed=st.integers(0, 2**32 - 1))
def test_the_natural_direction_follows_a_change_of_parameters(problem, size, seed):
    """F⁻¹∇J found in φ and moved into θ is the one found in θ; ∇J moved is MMᵀ∇J."""
    mdp, gamma, policy, _ = problem
    rng = np.random.default_rng(seed)
    model = Model(mdp, gamma, policy.tolist(), small(rng, mdp.states, mdp.actions, size))
    matrix = small(rng, size, size)
    gradient, natural = model.directions(lambda theta: theta)
    gradient_there, natural_there = model.directions(bent(matrix))
    assume(natural is not None and natural_there is not None)  # some matrices are singular
    assert product(matrix, natural_there) == natural
    turned = product([*zip(*matrix, strict=True)], gradient)
    assert product(matrix, gradient_there) == product(matrix, turned)


@pytest.mark.claim("C21")
@some
@given(problem=processes())
def test_the_natural_direction_of_free_logits_is_the_advantage(problem):
    """F⁻¹∇J = A(s,a) − A(s,last), the last action's logit held still: no visits, no rarity.

    That pins F itself: other forms that follow a change of parameters have other directions.
    """
    mdp, gamma, policy, _ = problem
    free = [(s, a) for s in range(mdp.states) for a in range(mdp.actions - 1)]
    features = [
        [[Fraction(pair == (s, a)) for pair in free] for a in range(mdp.actions)]
        for s in range(mdp.states)
    ]
    _, natural = Model(mdp, gamma, policy.tolist(), features).directions(lambda theta: theta)
    gains = Old(mdp, policy, gamma).advantages
    assert natural == [gains[s][a] - gains[s][-1] for s, a in free]


def gaussian_directions(mu, scores, slopes):
    """Gradient of E a² and natural direction, from polynomials in the standard normal z.

    `scores` are the two derivatives of log π(μ + σz), as coefficients of 1, z, z².
    """
    moments = (1, 0, 1, 0, 3)  # E zⁿ

    def mean(one, two):
        return sum(x * y * moments[i + j] for i, x in enumerate(one) for j, y in enumerate(two))

    square = (mu**2, 2 * mu * slopes, slopes**2)  # a² = (μ + σz)²
    gradient = [mean(square, score) for score in scores]
    return gradient, solve([[mean(one, two) for two in scores] for one in scores], gradient)


@pytest.mark.claim("C21")
def test_a_gaussian_by_its_deviation_and_by_its_logarithm():
    """E a² at μ = 1, σ = 1/5: the gradient by log σ, moved to σ, is 1/25 of that by σ."""
    mu, sigma = Fraction(1), Fraction(1, 5)
    by_sigma = gaussian_directions(mu, [(0, 1 / sigma, 0), (-1 / sigma, 0, 1 / sigma)], sigma)
    by_log = gaussian_directions(mu, [(0, 1 / sigma, 0), (-1, 0, 1)], sigma)
    moved = [[direction[0], sigma * direction[1]] for direction in by_log]  # dσ = σ d(log σ)
    assert by_sigma[0] == [2, Fraction(2, 5)]
    assert moved[0] == [2, Fraction(2, 125)]
    assert moved[1] == by_sigma[1] == [Fraction(2, 25), Fraction(1, 125)]


@pytest.mark.claim("C21")
@pytest.mark.parametrize(("sigma", "wanted"), [(Fraction(1, 5), Fraction(25, 2)),
                                               (Fraction(10), Fraction(1, 200))])  # fmt: skip
def test_two_gaussians_as_far_apart_with_unequal_divergence(sigma, wanted):
    """𝒩(0, σ), 𝒩(1, σ) are 1 apart in (μ, σ); KL is 1/(2σ²): 12.5 for σ = 0.2, 0.005 for 10."""
    u = PRECISIONS["float64"].unit
    assert math.dist((0, sigma), (1, sigma)) == 1
    width = np.log(Tracked(float(sigma.numerator), u) / sigma.denominator)
    numbers = [[Tracked(0.0, u)], [width], [Tracked(1.0, u)], [width]]
    found = gaussian_kl(*[np.array(each, dtype=object) for each in numbers])[()]
    assert abs(Fraction(found.value) - wanted) <= Fraction(found.running_bound())
    assert 1 / (2 * sigma**2) == wanted
