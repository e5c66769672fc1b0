"""Claims about off-policy returns: C31, C32. Operators and moments are exact, in fractions."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exact_cases import deterministic, some
from finite_problems import even
from off_policy_problems import (
    given_action,
    q_form,
    returned,
    settings_of,
    shares,
    tables,
    trajectories,
)
from rational_mdp import Truth
from rlverify.correction import Correction, OffPolicy
from rlverify.enumeration import enumerate_trajectories, rational_policy

HALF, QUARTER = Fraction(1, 2), Fraction(1, 4)


def greatest(numbers):
    return abs(numbers).max()


def solved(where):
    """Q of the policy, [S, A], by a linear system of its own."""
    truth = Truth(where.mdp, where.policy.tolist(), where.gamma)
    values = truth.values()
    rows = [[truth.q(s, a, values) for a in truth.a] for s in truth.s]
    return np.array(rows, dtype=object)


# C31: inside the interval


@pytest.mark.claim("C31")
@given(
    where=settings_of(least=0),
    steps=st.sampled_from([1, 2, 3, None]),
    data=st.data(),
)
def test_every_coefficient_in_the_interval_contracts_to_q(where, steps, data):
    """c in [0, π/μ]: Q^π is the one fixed point, M ≥ 0, and ‖M‖∞ ≤ γ; also where μ never acts."""
    trust = where.ratios * data.draw(shares(where.policy.shape))
    operator = where.operator(q_form(where, trust), steps)
    truth = solved(where).ravel()
    assert (operator(truth) == truth).all()
    assert (operator.fixed_point == truth).all()
    assert (operator.matrix >= 0).all()
    assert operator.factor <= where.gamma
    # and so any table comes closer
    table = data.draw(tables(truth.shape))
    assert greatest(operator(table) - truth) <= where.gamma * greatest(table - truth)


@pytest.mark.claim("C31")
@some
@given(where=settings_of(), steps=st.integers(1, 3), seed=st.integers(0, 2**32), data=st.data())
def test_so_do_coefficients_that_know_the_past(where, steps, seed, data):
    """c may depend on all that happened before: on each trajectory up to its action, here."""
    rng, drawn = np.random.default_rng(seed), {}
    truth, table = solved(where), data.draw(tables(where.policy.shape))
    for s in range(where.mdp.states):
        found = trajectories(where, steps, s)
        trust = np.empty(found.mask.shape, dtype=object)
        for t, n in np.ndindex(trust.shape):
            past = (*found.states[: t + 1, n].tolist(), *found.actions[: t + 1, n].tolist())
            share = drawn.setdefault(past, Fraction(int(rng.integers(9)), 8))
            trust[t, n] = share * found.ratios[t, n]
        kept, moved = (returned(where, found, trust, each) for each in (truth, table))
        for a in range(where.mdp.actions):
            met, chances = given_action(where, found, a)
            assert chances @ kept[met] == truth[s, a]
            assert abs(chances @ moved[met] - truth[s, a]) <= where.gamma * greatest(table - truth)


@pytest.mark.claim("C31")
@given(where=settings_of(), lam=st.sampled_from([QUARTER, HALF, Fraction(1)]))
def test_the_named_ones_are_in_the_interval(where, lam):
    """Importance sampling, Retrace and tree backup are; λ alone is where λμ ≤ π."""
    assume(where.gamma > 0)
    one = Fraction(1) + 0 * where.ratios
    for trust in (where.ratios, np.minimum(where.ratios, 1), where.policy):
        assert (lam * trust <= where.ratios).all()
        assert where.operator(q_form(where, lam * trust)).factor <= where.gamma
    if (lam * where.behaviour <= where.policy).all():
        assert where.operator(q_form(where, lam * one)).factor <= where.gamma


# C31: beyond it


def lamp(gamma):
    """One state, two buttons that pay 1 and 3, for ever; π = (¼, ¾), μ even."""
    mdp = deterministic({(0, 0): (0, 1, False), (0, 1): (0, 3, False)})
    return OffPolicy(mdp, rational_policy([[1, 3]]), even(mdp), gamma)


@pytest.mark.claim("C31")
def test_coefficients_above_the_ratio_stop_contracting():
    """c = kρ on an endless process: M = −γ(k−1)/(1−kγ) P_π, and γ = ½.

    It contracts by ⅓ at k = 5/4, not at all at 3/2, and at 7/4 what is wrong triples.
    """
    where = lamp(HALF)
    truth, ones = solved(where).ravel(), np.array([Fraction(1)] * 2, dtype=object)
    found = {}
    for k in (Fraction(5, 4), Fraction(3, 2), Fraction(7, 4)):
        operator = where.operator(q_form(where, k * where.ratios))
        assert (operator(truth) == truth).all()  # still a fixed point, and still the only one
        assert (operator.fixed_point == truth).all()
        moved = operator(truth + ones) - truth
        assert (moved == -operator.factor * ones).all()
        found[k] = operator.factor
    assert list(found.values()) == [Fraction(1, 3), 1, 3]
    assert all(factor == HALF * (k - 1) / (1 - k * HALF) for k, factor in found.items())


@pytest.mark.claim("C31")
def test_without_correction_sweeps_diverge():
    """Two rooms, γ = ¾. π always changes the room, μ stays three times in four, and c = 1.

    An error that has one sign in one room and the other in the other is multiplied by
    −(1 + ½)γ/(1 − γ/2) = −9/5 in each sweep, while Retrace's coefficients bring it closer.
    """
    moves = {(0, 0): (0, 1, False), (0, 1): (1, 0, False),
             (1, 0): (1, 5, False), (1, 1): (0, 2, False)}  # fmt: skip
    policies = rational_policy([[0, 1]] * 2), rational_policy([[3, 1]] * 2)
    where = OffPolicy(deterministic(moves), *policies, Fraction(3, 4))
    one, truth = Fraction(1) + 0 * where.ratios, solved(where).ravel()
    free = where.operator(q_form(where, one))
    signs = np.array([1, -1, -1, 1], dtype=object)  # of the room that is entered
    table, sizes = truth + signs, []
    for k in range(1, 6):
        table = free(table)
        assert (table - truth == Fraction(-9, 5) ** k * signs).all()
        sizes.append(greatest(table - truth))
    assert sizes == sorted(sizes)
    cut = where.operator(q_form(where, np.minimum(where.ratios, 1)))
    assert greatest(cut(truth + signs) - truth) <= where.gamma


@pytest.mark.claim("C31")
def test_and_the_trace_series_diverges():
    """c = kρ with kγ ≥ 1: the weights (kγ)ᵗ add up to nothing, and H steps to ever more."""
    for k, left in ((2, [HALF, 0, HALF, 1]), (4, [HALF, HALF, Fraction(5, 2), Fraction(13, 2)])):
        where = lamp(HALF)
        correction = q_form(where, k * where.ratios)
        assert where.operator(correction) is None
        assert where.moments(correction, 0 * where.policy) is None
        # what H steps leave of an error: 1 − (1−γ) Σ_{t<H} (kγ)ᵗ
        found = []
        for steps in (1, 2, 3, 4):
            total = sum((k * HALF) ** t for t in range(steps))
            matrix = where.operator(q_form(where, k * where.ratios), steps).matrix
            assert matrix.sum(axis=1).tolist() == [1 - HALF * total] * 2
            found.append(abs(1 - HALF * total))
        assert found == left


# C31: the form in the notes


def notes(where, trust):
    """The same coefficients on one-step errors of V."""
    return q_form(where, trust, errors="V")


def buttons():
    """State 0 leads to state 1, whose buttons pay 1 and 0 and end; π even, μ = (¼, ¾), γ = ½."""
    mdp = deterministic({(0, 0): (1, 0, False), (0, 1): (1, 0, False),
                         (1, 0): (2, 1, True), (1, 1): (2, 0, True)})  # fmt: skip
    behaviour = rational_policy([[1, 1], [1, 3], [1, 1]])
    return OffPolicy(mdp, even(mdp), behaviour, HALF)


@pytest.mark.claim("C31")
def test_the_form_in_the_notes_is_biased():
    """Σ γᵗ Π c δ with δ of the exact V and c = min(1, ρ): the second error has a mean.

    It is Σ min(μ, π) A = ¼·½ − ½·½ = −⅛ in state 1, so the estimate for state 0 misses by −1/16.
    With c = ρ the mean is Σ π A = 0, and with δ of Q nothing is missed either way.
    """
    where = buttons()
    truth = solved(where)
    assert truth.tolist() == [[QUARTER, QUARTER], [1, 0], [0, 0]]
    cut, ratios = np.minimum(where.ratios, 1), where.ratios
    found = trajectories(where, 2, 0)
    means = [
        found.probabilities @ returned(where, found, trust, truth, of_v=of_v) - QUARTER
        for trust, of_v in ((cut, True), (ratios, True), (cut, False), (ratios, False))
    ]
    assert means == [Fraction(-1, 16), 0, 0, 0]
    # and there it stays: the table that reproduces itself is wrong by as much
    missed = where.operator(notes(where, cut)).fixed_point - truth.ravel()
    assert missed.tolist() == [Fraction(-1, 16)] * 2 + [0] * 4


@pytest.mark.claim("C31")
@some
@given(where=settings_of(), data=st.data())
def test_the_form_in_the_notes_is_right_where_one_share_is_taken_of_all_ratios(where, data):
    """c = kρ with a k ≤ 1 for each state: then the later errors have mean k Σ π A = 0."""
    share = data.draw(shares((where.mdp.states, 1)))
    truth = solved(where).ravel()
    operator = where.operator(notes(where, share * where.ratios))
    assert (operator(truth) == truth).all()


# V-trace: where it goes


@pytest.mark.claim("C31")
@some
@given(
    where=settings_of(),
    lam=st.sampled_from([HALF, Fraction(1)]),
    rho_bar=st.sampled_from([HALF, Fraction(1), Fraction(2)]),
    c_bar=st.sampled_from([HALF, Fraction(1)]),
)
def test_v_trace_contracts_to_the_policy_between(where, lam, rho_bar, c_bar):
    """Its fixed point is V of π_ρ̄ ∝ min(ρ̄μ, π), V of π where ρ̄ is above every ratio.

    With c̄ ≤ ρ̄ it contracts by 1 − (1−γ) min E ρ̂ at least (Espeholt et al. 2018, theorem 1).
    """
    weight = np.minimum(where.ratios, rho_bar)
    one = Fraction(1) + 0 * weight
    correction = Correction(
        "", "", "", one, lam * np.minimum(where.ratios, c_bar), weight, "V", "V"
    )
    operator = where.operator(correction)
    middle = OffPolicy(where.mdp, where.clipped(rho_bar), where.behaviour, where.gamma)
    assert (
        operator.fixed_point.tolist()
        == Truth(where.mdp, middle.policy.tolist(), where.gamma).values()
    )
    if rho_bar >= where.ratios.max():
        assert (middle.policy == where.policy).all()
    least = (where.behaviour * weight).sum(axis=1).min()
    if c_bar <= rho_bar:
        assert operator.factor <= 1 - (1 - where.gamma) * least


# C32


def endless(weights, acting):
    """One state that never ends; π and μ by their weights."""
    mdp = deterministic({(0, a): (0, float(a), False) for a in (0, 1)})
    return OffPolicy(mdp, rational_policy([weights]), rational_policy([acting]), HALF)


@pytest.mark.claim("C32")
def test_products_of_ratios_explode():
    """π = (⅞, ⅛), μ even: E Π = 1 at each step, and Var Π = (25/16)ᵗ − 1.

    E ρ² = Σ π²/μ = 2 (49 + 1)/64. The powers are held against the sum over all trajectories.
    """
    where = endless([7, 1], [1, 1])
    found = where.traces(q_form(where, where.ratios), 9)
    assert [mean for mean, _ in found] == [1] * 9
    assert [variance for _, variance in found] == [Fraction(25, 16) ** t - 1 for t in range(9)]
    every = enumerate_trajectories(
        where.mdp, where.policy, horizon=5, behaviour=where.behaviour
    )  # fmt: skip
    products = np.multiply.accumulate(every.ratios, axis=0)
    for t in range(5):
        assert every.probabilities @ products[t] == 1
        assert every.probabilities @ products[t] ** 2 == Fraction(25, 16) ** (t + 1)
    # the largest is (7/4)ᵗ, and it comes once in 2ᵗ
    top = products[4] == products[4].max()
    assert (products[4].max(), every.probabilities[top].sum()) == (Fraction(7, 4) ** 5, HALF**5)
    # at this discount the series of the squares has γ² · 25/16 < 1, at 4/5 it has 1
    assert where.moments(q_form(where, where.ratios), where.policy).variance is not None
    longer = OffPolicy(where.mdp, where.policy, where.behaviour, Fraction(4, 5))
    assert longer.moments(q_form(longer, longer.ratios), where.policy).variance is None


@pytest.mark.claim("C32")
def test_products_of_ratios_fade():
    """The same products mostly vanish: below (3/4)ᵗ at least half the time, and rarely above 1.

    Of t actions k are good with probability C(t,k)/2ᵗ, and the product is (7/4)ᵏ (1/4)ᵗ⁻ᵏ. An
    equal number of each gives (7/16)^(t/2) < (3/4)ᵗ; above 1 it takes 5 good ones to 2 bad.
    """
    where = endless([7, 1], [1, 1])
    every = enumerate_trajectories(
        where.mdp, where.policy, horizon=8, behaviour=where.behaviour
    )  # fmt: skip
    products = np.multiply.accumulate(every.ratios, axis=0)
    above = []
    for steps in (2, 4, 8):
        now = products[steps - 1]
        assert every.probabilities[now < Fraction(3, 4) ** steps].sum() >= HALF
        good = [k for k in range(steps + 1) if Fraction(7, 4) ** k / 4 ** (steps - k) > 1]
        chance = sum(Fraction(math.comb(steps, k), 2**steps) for k in good)
        assert every.probabilities[now > 1].sum() == chance
        above.append(chance)
    assert above == [QUARTER, Fraction(5, 16), Fraction(37, 256)]


@pytest.mark.claim("C32")
@pytest.mark.parametrize(
    ("weights", "acting", "kept", "squared"),
    [
        ([7, 1], [1, 1], Fraction(5, 8), Fraction(17, 32)),  # ½·1 + ½·¼, ½·1 + ½·1/16
        ([15, 1], [1, 15], Fraction(1, 8), Fraction(1, 16) + Fraction(15, 16) / 225),
    ],
)
def test_clipping_at_one_bounds_them(weights, acting, kept, squared):
    """Π min(1, ρ) never exceeds 1: E = (Σ min(μ, π))ᵗ, and E Π² = (Σ μ min(1, ρ)²)ᵗ.

    So the variance falls, and what is left of the trace with it; the more the policies differ,
    the sooner.
    """
    where = endless(weights, acting)
    found = where.traces(q_form(where, np.minimum(where.ratios, 1)), 8)
    assert [mean for mean, _ in found] == [kept**t for t in range(8)]
    assert [variance for _, variance in found] == [squared**t - kept ** (2 * t) for t in range(8)]
    assert all(variance <= QUARTER for _, variance in found)
    free = where.traces(q_form(where, where.ratios), 8)
    assert all(late > early for (_, early), (_, late) in pairwise(free))


@pytest.mark.claim("C32")
@some
@given(where=settings_of(), data=st.data())
def test_what_is_clipped_scatters_by_a_quarter_at_most(where, data):
    """Any numbers between 0 and 1 have E Π² ≤ E Π, so Var Π ≤ E Π (1 − E Π) ≤ ¼."""
    trust = np.minimum(where.ratios, 1) * data.draw(shares(where.policy.shape))
    for mean, variance in where.traces(q_form(where, trust), 4):
        assert 0 <= variance <= mean * (1 - mean)
