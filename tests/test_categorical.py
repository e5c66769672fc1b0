"""The topic `categorical`: the contract tests, and what only these policies have."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from mpmath import mp, mpf
from torch.distributions import Categorical

from rlverify.fast import categorical as fast
from rlverify.reference import categorical as reference
from rlverify.rounding import PRECISIONS
from support import *  # noqa: F403 - the contract tests, spread over TOPIC

TOPIC = "categorical"
UNIT = {dtype: PRECISIONS[dtype].unit for dtype in ("float64", "float32")}
NAN, INF = math.nan, math.inf

# logits with the legal actions; what is not legal is never read
EXTREMES = {
    "two far up": ([1e4, 1e4], [1, 1]),
    "far apart": ([1e4, 0.0, -1e4], [1, 1, 1]),
    "near ties far up": ([1e4, 9999.5, 9999.0], [1, 1, 1]),
    "far down": ([-1e4, -1e4, NAN], [1, 1, 0]),
    "a single one": ([3.0], [1]),
    "a single legal one": ([INF, NAN, -2.0], [0, 0, 1]),
    "equal": ([2.0, 2.0, 2.0], [1, 1, 1]),
}
extremes = pytest.mark.parametrize("name", EXTREMES)
both = pytest.mark.parametrize("dtype", ["float64", "float32"])


def exactly(logits, legal):
    """Return log π and π to 50 digits; what is illegal has −∞ and 0."""
    with mp.workdps(50):
        powers = [
            mp.exp(mpf(float(x))) if ok else mpf(0) for x, ok in zip(logits, legal, strict=True)
        ]
        total = mp.fsum(powers)
        logs = [mpf(float(x)) - mp.log(total) if ok else mpf("-inf")
                for x, ok in zip(logits, legal, strict=True)]  # fmt: skip
        return logs, [power / total for power in powers]


def tensors(name, dtype):
    """Return logits and legal actions of an extreme case, and the numbers the logits are."""
    numbers, legal = EXTREMES[name]
    logits = torch.tensor(numbers, dtype=getattr(torch, dtype), requires_grad=True)
    flags = torch.tensor(legal, dtype=torch.bool)
    return logits, flags, logits.detach().double().numpy(), np.array(legal, dtype=bool)


def within(got, wanted, allowed):
    """Assert that numbers lie within what is allowed of 50-digit ones."""
    got = np.asarray(got, dtype=float).ravel()
    for one, other in zip(got, np.ravel(np.array(wanted, dtype=object)), strict=True):
        assert math.isfinite(one)
        assert abs(mpf(float(one)) - other) <= allowed, (one, other)


# --- numbers worked by hand -------------------------------------------------------------------


def test_an_illegal_action_has_minus_infinity_and_no_gradient():
    logits = torch.tensor([[0.0, NAN, 1.0], [0.0, INF, 1.0]], requires_grad=True)
    legal = torch.tensor([[True, False, True]] * 2)
    actions = torch.tensor([1, 0])
    got = fast.categorical_log_prob(logits, actions, legal)
    one = reference.categorical_log_prob(
        logits.detach().double().numpy(), actions.numpy(), legal.numpy()
    )
    assert got[0].item() == one[0] == -INF
    assert math.isfinite(got[1].item())
    # selected away, as the padding of a batch is
    torch.where(torch.isinf(got), 0.0, got).sum().backward()
    assert (logits.grad[0] == 0).all()
    assert logits.grad[1, 1] == 0
    assert (logits.grad[1, [0, 2]] != 0).all()


def test_the_gradient_of_minus_infinity_is_zero_even_where_it_is_not_selected_away():
    logits = torch.tensor([0.0, 1.0], requires_grad=True)
    legal = torch.tensor([True, False])
    fast.categorical_log_prob(logits, torch.tensor(1), legal).backward()
    assert logits.grad.tolist() == [0.0, 0.0]


def test_a_policy_without_leading_axes_is_one_policy():
    logits, legal = np.log([1.0, 2.0, 5.0]), np.array([True, True, False])
    tensor, flags = torch.from_numpy(logits), torch.from_numpy(legal)
    one, two = np.array(1), torch.tensor(1)
    pairs = [
        (reference.categorical_log_prob(logits, one, legal),
         fast.categorical_log_prob(tensor, two, flags)),
        (reference.categorical_score(logits, one, legal),
         fast.categorical_score(tensor, two, flags)),
        (reference.categorical_entropy(logits, legal), fast.categorical_entropy(tensor, flags)),
        (reference.categorical_kl(logits, -logits, legal),
         fast.categorical_kl(tensor, -tensor, flags)),
        (reference.categorical_fisher(logits, legal), fast.categorical_fisher(tensor, flags)),
        (reference.categorical_sample(logits, np.array(0.5), legal),
         fast.categorical_sample(tensor, torch.tensor(0.5, dtype=torch.float64), flags)),
    ]  # fmt: skip
    for ours, theirs in pairs:
        assert np.shape(ours) == tuple(theirs.shape)
        within(theirs, np.asarray(ours, dtype=float), 16 * UNIT["float64"])


def test_one_draws_the_last_legal_action_and_nothing_illegal():
    logits = torch.zeros(2, 4)
    legal = torch.tensor([[False, True, True, False]] * 2)
    for uniform in (1.0, 1 - 2.0**-24):
        drawn = fast.categorical_sample(logits, torch.full((2,), uniform), legal)
        ours = reference.categorical_sample(
            logits.double().numpy(), np.full(2, uniform), legal.numpy()
        )
        assert drawn.tolist() == ours.tolist() == [2, 2]


def test_every_action_of_many_is_drawn_as_often_as_it_is_likely():
    """A million policies of one: the k-th uniform of a grid of a million."""
    logits = torch.tensor([0.0, 3.0, -1.0, 2.0, 0.5], dtype=torch.float64)
    count = 10**6
    uniforms = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    drawn = fast.categorical_sample(logits.expand(count, -1), uniforms, None)
    seen = torch.bincount(drawn, minlength=5)
    wanted = torch.softmax(logits, -1) * count
    assert ((seen - wanted).abs() <= 1).all()


@pytest.mark.claim("C38")
def test_epsilon_greedy_is_exact_in_fractions():
    values = np.array([[Fraction(1), Fraction(3), Fraction(3)]], dtype=object)
    got = reference.epsilon_greedy_probabilities(values, epsilon=Fraction(1, 7))
    assert got.tolist() == [[Fraction(1, 21), Fraction(10, 21), Fraction(10, 21)]]
    assert sum(got[0]) == 1
    greedy = reference.epsilon_greedy_probabilities(values, epsilon=Fraction(0))
    assert greedy.tolist() == [[0, Fraction(1, 2), Fraction(1, 2)]]


@pytest.mark.claim("C38")
def test_boltzmann_tends_to_greedy_and_no_temperature_is_too_small():
    values = torch.tensor([2.0, 5.0, 5.0, -3.0])
    gaps = []
    for halvings in range(10):
        got = fast.boltzmann_probabilities(values, temperature=2.0**-halvings)
        gaps.append((got - torch.tensor([0.0, 0.5, 0.5, 0.0])).abs().max().item())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] == 0
    for tiny in (1e-30, 1e-38):
        cold = fast.boltzmann_probabilities(values, temperature=tiny)
        assert cold.tolist() == [0.0, 0.5, 0.5, 0.0]


# --- extremes, against 50 digits ----------------------------------------------------------------
#
# z = x − max x is rounded once, an exponential and a logarithm by a few units; what is allowed
# is of the size of the greatest |z|, not of |x|: a common offset costs nothing.

STEPS = 16  # roundings: of z, the exponential (4), n − 1 sums, the logarithm (4), the difference


def size(logits, legal):
    """Return 1 + the greatest distance to the greatest logit."""
    read = logits[legal]
    return 1 + float(read.max() - read.min())


@both
@extremes
def test_log_probabilities_and_scores_at_extremes(name, dtype):
    logits, flags, numbers, legal = tensors(name, dtype)
    logs, policy = exactly(numbers, legal)
    allowed = STEPS * UNIT[dtype] * size(numbers, legal)
    for action in np.flatnonzero(legal):
        taken = torch.tensor(int(action))
        got = fast.categorical_log_prob(logits, taken, flags)
        within(got.detach(), [logs[action]], allowed)
        (gradient,) = torch.autograd.grad(got, logits)
        score = [int(b == action) - policy[b] for b in range(len(numbers))]
        score = [one if ok else mpf(0) for one, ok in zip(score, legal, strict=True)]
        within(gradient, score, allowed)
        within(fast.categorical_score(logits, taken, flags).detach(), score, allowed)


@both
@extremes
def test_entropy_and_fisher_at_extremes(name, dtype):
    logits, flags, numbers, legal = tensors(name, dtype)
    logs, policy = exactly(numbers, legal)
    allowed = STEPS * UNIT[dtype] * size(numbers, legal)
    terms = [-p * log if p else mpf(0) for p, log in zip(policy, logs, strict=True)]
    entropy = fast.categorical_entropy(logits, flags)
    within(entropy.detach(), [sum(terms)], allowed)
    (gradient,) = torch.autograd.grad(entropy, logits)
    within(gradient, [t - p * sum(terms) for t, p in zip(terms, policy, strict=True)], allowed)
    fisher = [[(p if a == b else 0) - p * q for b, q in enumerate(policy)]
              for a, p in enumerate(policy)]  # fmt: skip
    got = fast.categorical_fisher(logits, flags).detach()
    within(got, fisher, allowed)
    assert (got.sum(-1).abs() <= allowed).all()


def test_a_single_legal_action_has_exactly_no_entropy_and_no_gradient():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        logits = torch.tensor([[5.0, NAN, INF], [1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
        legal = torch.tensor([[True, False, False], [True, True, True]])
        entropy = fast.categorical_entropy(logits, legal)
        entropy.sum().backward()
        assert entropy.tolist() == [0.0, 0.0]
        assert (logits.grad == 0).all()
    numbers = np.array([[5.0, NAN, INF]])
    assert reference.categorical_entropy(numbers, legal[:1].numpy()).tolist() == [0.0]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_probability_beside_one_keeps_its_digits_in_the_fisher_matrix(dtype):
    """p(1 − p) with p = 1 − e⁻²⁰: as p − p² it would be 0 in float32."""
    logits = torch.tensor([10.0, -10.0], dtype=getattr(torch, dtype))
    got = fast.categorical_fisher(logits, None)
    wanted = math.exp(-20) / (1 + math.exp(-20)) ** 2
    precision = PRECISIONS[dtype]
    relative = STEPS * 20 * precision.unit + precision.storage
    assert ((got.abs() - wanted).abs() <= relative * wanted + precision.storage_tiny).all()


# --- the divergence near equality -----------------------------------------------------------------


@both
@pytest.mark.parametrize("step", [2.0**-4, 2.0**-7, 2.0**-10])
def test_divergence_of_near_policies_keeps_its_digits(step, dtype):
    """Σ p k(d) is off by |d| τ; Σ p (log p − log q) by τ, which is all of it for small d."""
    p = np.array([0.5, -1.0, 2.0])
    q = p + step * np.array([1.0, 0.0, -1.0])
    (log_p, policy), (log_q, _) = exactly(p, [1] * 3), exactly(q, [1] * 3)
    gaps = [b - a for a, b in zip(log_p, log_q, strict=True)]
    exact = sum(w * (mp.expm1(d) - d) for w, d in zip(policy, gaps, strict=True))
    tau = STEPS * UNIT[dtype] * size(np.concatenate([p, q]), np.ones(6, dtype=bool))
    largest = float(max(abs(d) for d in gaps))
    allowed = 2 * tau * (largest + tau)
    left, right = (torch.tensor(x, dtype=getattr(torch, dtype)) for x in (p, q))
    within(fast.categorical_kl(left, right, None), [exact], allowed)
    if dtype == "float64":
        within(reference.categorical_kl(p, q, None), [exact], allowed)
    elif step < 2.0**-8:  # and the other form does lose them
        plain = torch.log_softmax(left, -1), torch.log_softmax(right, -1)
        naive = (plain[0].exp() * (plain[0] - plain[1])).sum()
        assert abs(float(naive) - float(exact)) > allowed


def test_divergence_is_never_negative():
    generator = torch.Generator().manual_seed(0)
    for spread in (1e-7, 1e-4, 1.0, 100.0):
        p = torch.randn(2000, 4, generator=generator)
        q = (p + spread * torch.randn(2000, 4, generator=generator)).requires_grad_()
        divergence = fast.categorical_kl(p, q, None)
        assert (divergence >= 0).all()
        divergence.sum().backward()
        gradient = torch.softmax(q.detach(), -1) - torch.softmax(p, -1)
        gap = (q.detach() - p).abs().amax() + (p.abs().amax() + q.detach().abs().amax())
        assert ((q.grad - gradient).abs() <= 2 * STEPS * UNIT["float32"] * (1 + gap)).all()


def test_divergence_does_not_overflow_where_the_other_policy_has_no_mass():
    p = torch.tensor([1e4, -1e4], requires_grad=True)
    q = torch.tensor([-1e4, 1e4], requires_grad=True)
    divergence = fast.categorical_kl(p, q, None)
    divergence.backward()
    assert divergence.item() == 2e4
    assert torch.isfinite(p.grad).all()
    assert q.grad.tolist() == [-1.0, 1.0]


# --- beside torch.distributions, where that is right ---------------------------------------------


def test_agrees_with_torch_where_torch_is_right():
    generator = torch.Generator().manual_seed(1)
    logits, other = torch.randn(2, 50, 5, generator=generator, dtype=torch.float64)
    actions = torch.randint(5, (50,), generator=generator)
    policy, second = Categorical(logits=logits), Categorical(logits=other)
    largest = 1 + logits.abs().max().item() + other.abs().max().item()
    allowed = STEPS * UNIT["float64"] * largest**2
    for ours, theirs in (
        (fast.categorical_log_prob(logits, actions, None), policy.log_prob(actions)),
        (fast.categorical_entropy(logits, None), policy.entropy()),
        (fast.categorical_kl(logits, other, None),
         torch.distributions.kl_divergence(policy, second)),
    ):  # fmt: skip
        assert ((ours - theirs).abs() <= allowed).all()
