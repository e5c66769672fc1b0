"""Laws of categorical policies; none of them needs the reference.

A law that computes with what the subject answers does so in tracked numbers, so that what it
allows follows from the subject's own bounds and the law's own roundings.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._categorical_cases import (
    OURS,
    claim,
    legal_of,
    mapped,
    results,
    tracked,
)
from rlverify.contracts._recordings import same
from rlverify.rounding import Tracked

LOGITS = ("logits", "logits_p", "logits_q", "q_values")


def logits_in(case: Case) -> list[str]:
    """Return the names of the arrays of a case that have an action axis of numbers."""
    return [name for name in LOGITS if name in case.arguments]


def check_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """Add 1024 to every logit: nothing changes, though no exponential holds it."""
    shifted = case.but(**{name: case[name] + 1024.0 for name in logits_in(case)})
    yield from same(subject, shifted, subject(case), case)


def check_illegal(subject: Subject, case: Case) -> Iterable[Claim]:
    """Put other things where actions are illegal: nothing changes."""
    names, legal = logits_in(case), legal_of(case, logits_in(case)[0])
    if legal.all():
        return

    def filled(value: float) -> Case:
        return case.but(**{name: np.where(legal, case[name], value) for name in names})

    wanted = subject(filled(0.0))
    for garbage in (2.0**15, np.nan, np.inf):
        yield from same(subject, filled(garbage), wanted, filled(0.0))


def check_rows(subject: Subject, case: Case) -> Iterable[Claim]:
    """Ask for one policy alone: the others do not matter."""
    leading = case[logits_in(case)[0]].shape[:-1]
    got, allowed = subject(case), subject.bound(case)
    for i in np.ndindex(leading):
        arrays = {k: v for k, v in case.arguments.items() if isinstance(v, np.ndarray)}
        alone = case.but(**{name: array[i][None] for name, array in arrays.items()})
        wanted, bound = subject(alone), subject.bound(alone)
        for name in got:
            yield Claim(got[name][i], wanted[name][0], allowed[name][i] + bound[name][0])


SHIFT = Law("shift-invariant", "1024 more on every logit changes nothing", check_shift)
ILLEGAL = Law("illegal-logits-unread", "what stands at illegal actions does not matter",
              check_illegal)  # fmt: skip
ROWS = Law("policies-independent", "a policy does not depend on those beside it", check_rows)


def every_action(subject: Subject, case: Case, output: str) -> list[np.ndarray]:
    """Return the answers where the same action is taken everywhere, one an action."""
    taken = range(case["logits"].shape[-1])
    cases = [case.but(actions=np.full_like(case["actions"], a)) for a in taken]
    return [results(subject, one, output) for one in cases]


def total(numbers: Iterable[Any]) -> np.ndarray:
    """Return a sum of arrays of tracked numbers, or of such numbers."""
    found = np.zeros((), dtype=object)
    for item in numbers:  # array by array: a tracked number would take an array for a float
        found = np.asarray(found + np.asarray(item, dtype=object), dtype=object)
    return found


# --- log-probability -------------------------------------------------------------------------


def check_sum(subject: Subject, case: Case) -> Iterable[Claim]:
    """The probabilities of all actions sum to 1, those of illegal ones are 0."""
    log_probs = every_action(subject, case, "log_prob")
    illegal = ~legal_of(case)
    for a, values in enumerate(log_probs):
        where = illegal[..., a]
        yield Claim(values[where].astype(float), np.full(int(where.sum()), -np.inf), np.zeros(()))
    yield claim(total(mapped(Tracked.exp, x) for x in log_probs), np.ones(illegal.shape[:-1]))


def equal(case: Case) -> tuple[Case, np.ndarray]:
    """Return the case with all legal logits equal, and how many actions are legal."""
    changes = {}
    for name in logits_in(case):
        legal = legal_of(case, name)
        changes[name] = np.where(legal, 0.5, 2.0)
    return case.but(**changes), legal.sum(axis=-1)


def logs(counts: np.ndarray) -> np.ndarray:
    """Return logarithms of counts, with the rounding of the logarithm."""
    return mapped(Tracked.log, tracked(counts))


def shares(counts: np.ndarray) -> np.ndarray:
    """Return 1 over counts, with the rounding of the division."""
    return mapped(lambda count: 1 / count, tracked(counts))


def check_equal_log_prob(subject: Subject, case: Case) -> Iterable[Claim]:
    """Equal logits give each of K legal actions −log K."""
    one, counts = equal(case)
    taken = np.take_along_axis(legal_of(case), case["actions"][..., None], axis=-1)[..., 0]
    got = results(subject, one, "log_prob")
    yield claim(got[taken], -logs(counts)[taken])


def check_differences(subject: Subject, case: Case) -> Iterable[Claim]:
    """Log-probabilities of two legal actions differ as their logits do."""
    log_probs, legal = every_action(subject, case, "log_prob"), legal_of(case)
    logits = tracked(np.where(legal, case["logits"], 0.0))
    for a in range(1, len(log_probs)):
        both = legal[..., a] & legal[..., 0]
        wanted = logits[..., a][both] - logits[..., 0][both]
        yield claim(log_probs[a][both] - log_probs[0][both], wanted)


# --- score -----------------------------------------------------------------------------------


def check_zero_mean(subject: Subject, case: Case) -> Iterable[Claim]:
    """The mean of the score under its own policy is 0 (C1)."""
    scores, legal = every_action(subject, case, "score"), legal_of(case)
    mean: Any = np.full(case["logits"].shape, Tracked(0.0, OURS), dtype=object)
    for a, score in enumerate(scores):
        taken = legal[..., a]
        # [a = a] − π(a) stands on the diagonal
        probability = 1 - score[..., a][taken]
        mean[taken] = mean[taken] + probability[..., None] * score[taken]
        unread = score[~taken]
        yield claim(unread, np.zeros(unread.shape))
    yield claim(mean, np.zeros(mean.shape))


def check_score_sum(subject: Subject, case: Case) -> Iterable[Claim]:
    """The score sums to 0 over the logits, because a shift of all changes nothing."""
    got = results(subject, case, "score")
    yield claim(total(np.moveaxis(got, -1, 0)), np.zeros(got.shape[:-1]))


def check_equal_score(subject: Subject, case: Case) -> Iterable[Claim]:
    """Equal logits give [a = b] − 1/K at legal b, 0 elsewhere."""
    one, counts = equal(case)
    got, legal = results(subject, one, "score"), legal_of(case)
    place = case["actions"][..., None]
    taken = np.take_along_axis(legal, place, axis=-1)
    hot = np.arange(legal.shape[-1]) == place
    wanted = np.where(hot, 1.0, 0.0) - np.where(legal, shares(counts)[..., None], 0.0)
    yield claim(got, np.where(taken & legal, wanted, 0.0))


# --- entropy ---------------------------------------------------------------------------------


def check_equal_entropy(subject: Subject, case: Case) -> Iterable[Claim]:
    """Equal logits over K legal actions have the entropy log K."""
    one, counts = equal(case)
    yield claim(results(subject, one, "entropy"), logs(counts))


def check_single_entropy(subject: Subject, case: Case) -> Iterable[Claim]:
    """A single legal action has the entropy 0."""
    first = legal_of(case).argmax(axis=-1)
    single = np.arange(case["logits"].shape[-1]) == first[..., None]
    got = results(subject, case.but(legal=single), "entropy")
    yield claim(got, np.zeros(got.shape))


def check_entropy_range(subject: Subject, case: Case) -> Iterable[Claim]:
    """The entropy lies between 0 and log K."""
    got, allowed = subject(case)["entropy"], subject.bound(case)["entropy"]
    highest = logs(legal_of(case).sum(axis=-1))
    most = highest.astype(float)
    slack = allowed + mapped(Tracked.free_bound, highest).astype(float)
    yield Claim(got, np.where(got >= 0, np.minimum(got, most), 0.0), slack)


def check_twins(subject: Subject, case: Case) -> Iterable[Claim]:
    """Two copies of every action add log 2."""
    legal = case["legal"]
    doubled = case.but(
        logits=np.concatenate([case["logits"]] * 2, axis=-1),
        legal=legal if legal is None else np.concatenate([legal] * 2, axis=-1),
    )
    got = results(subject, doubled, "entropy")
    yield claim(got, results(subject, case, "entropy") + logs(np.full(got.shape, 2.0)))


# --- divergence ------------------------------------------------------------------------------


def check_self(subject: Subject, case: Case) -> Iterable[Claim]:
    """A policy does not diverge from itself."""
    itself = case.but(logits_q=case["logits_p"])
    got = results(subject, itself, "kl")
    yield claim(got, np.zeros(got.shape))


def check_positive(subject: Subject, case: Case) -> Iterable[Claim]:
    """A divergence is not negative."""
    got = subject(case)["kl"]
    yield Claim(got, np.where(got >= 0, got, 0.0), subject.bound(case)["kl"])


def check_from_uniform(subject: Subject, case: Case) -> Iterable[Claim]:
    """From K equal ones: KL = log Σ exp x − mean x − log K, with the logits x of q."""
    legal = legal_of(case, "logits_q")
    got = results(subject, case.but(logits_p=np.zeros(legal.shape)), "kl")
    logits = tracked(np.where(legal, case["logits_q"], 0.0))
    wanted = np.empty(got.shape, dtype=object)
    for i in np.ndindex(got.shape):
        allowed = logits[i][legal[i]]
        highest, count = max(allowed), Tracked(float(len(allowed)), OURS)
        normalizer = highest + sum((x - highest).exp() for x in allowed).log()
        wanted[i] = normalizer - sum(allowed) / count - count.log()
    yield claim(got, wanted)


# --- Fisher information ----------------------------------------------------------------------


def check_null(subject: Subject, case: Case) -> Iterable[Claim]:
    """Every row sums to 0, because a shift of all logits changes nothing."""
    got = results(subject, case, "fisher")
    yield claim(total(np.moveaxis(got, -1, 0)), np.zeros(got.shape[:-1]))


def softmax(case: Case) -> np.ndarray:
    """Return the probabilities of a case's logits as tracked numbers, 0 where illegal."""
    legal = legal_of(case)
    logits = tracked(np.where(legal, case["logits"], 0.0))
    found = np.full(legal.shape, Tracked(0.0, OURS), dtype=object)
    for i in np.ndindex(legal.shape[:-1]):
        allowed = logits[i][legal[i]]
        powers = mapped(Tracked.exp, allowed - max(allowed))
        found[*i, legal[i]] = powers / sum(powers)
    return found


def check_covariance(subject: Subject, case: Case) -> Iterable[Claim]:
    """F = Σ π(a) s sᵀ with the score s = e_a − π of each action."""
    policy = softmax(case)
    wanted: Any = 0.0
    for a in range(policy.shape[-1]):
        score = np.where(np.arange(policy.shape[-1]) == a, 1.0, 0.0) - policy
        weighted = policy[..., a, None, None] * score[..., :, None]
        wanted = wanted + weighted * score[..., None, :]
    yield claim(results(subject, case, "fisher"), wanted)


def check_equal_fisher(subject: Subject, case: Case) -> Iterable[Claim]:
    """Equal logits give [a = b]/K − 1/K² among the legal, 0 elsewhere."""
    one, counts = equal(case)
    got, legal = results(subject, one, "fisher"), legal_of(case)
    share = shares(counts)[..., None, None]
    both = legal[..., :, None] & legal[..., None, :]
    own = np.eye(legal.shape[-1])
    yield claim(got, np.where(both, own * share - share * share, 0.0))


# --- sampling --------------------------------------------------------------------------------


def check_legal_sample(subject: Subject, case: Case) -> Iterable[Claim]:
    """What is drawn is legal, whatever the uniform number."""
    legal = legal_of(case)
    drawn = subject(case)["actions"]
    inside = (drawn >= 0) & (drawn < legal.shape[-1])
    place = np.where(inside, drawn, 0).astype(np.int64)[..., None]
    fine = np.take_along_axis(legal, place, axis=-1)[..., 0] & inside
    yield Claim(fine.astype(float), np.ones(fine.shape), np.zeros(()))


GRID = 16


def check_frequencies(subject: Subject, case: Case) -> Iterable[Claim]:
    """On a grid of uniforms every action is drawn as often as it is likely, to one step."""
    legal, count = legal_of(case), case["logits"].shape[-1]
    first = (0,) * (legal.ndim - 1)
    uniforms = (np.arange(GRID) + 0.5) / GRID
    grid = Case(
        {
            "logits": np.broadcast_to(case["logits"][first], (GRID, count)).copy(),
            "uniforms": uniforms,
            "legal": np.broadcast_to(legal[first], (GRID, count)).copy(),
        }
    )
    drawn, open_ = subject(grid)["actions"], subject.bound(grid)["actions"]
    policy = softmax(case)[first]
    shares = np.array([(drawn == a).mean() for a in range(count)])
    # an action's interval holds as many points of the grid as it is long, but for less than one;
    # points that rounding may move across its ends count on top
    slack = mapped(Tracked.free_bound, policy).astype(float) + (1 + np.round(open_).sum()) / GRID
    yield Claim(shares, policy.astype(float), slack)


def check_first(subject: Subject, case: Case) -> Iterable[Claim]:
    """The uniform number 0 draws the first action that has a probability."""
    lowest = case.but(uniforms=np.zeros(case["uniforms"].shape))
    likely = softmax(case).astype(float) > 0
    wanted = likely.argmax(axis=-1).astype(float)
    yield Claim(subject(lowest)["actions"], wanted, subject.bound(lowest)["actions"])


# --- probabilities of actions ----------------------------------------------------------------


def check_total(subject: Subject, case: Case) -> Iterable[Claim]:
    """Probabilities sum to 1."""
    got = results(subject, case, "probabilities")
    yield claim(total(np.moveaxis(got, -1, 0)), np.ones(got.shape[:-1]))


def greedy(values: np.ndarray) -> np.ndarray:
    """Return the greedy policy, uniform over ties, as fractions."""
    best = values == values.max(axis=-1, keepdims=True)
    return np.asarray(best * mapped(lambda ties: Fraction(1, int(ties)), best.sum(-1))[..., None])


def nearest(fractions: np.ndarray) -> np.ndarray:
    """Return fractions as tracked numbers, each rounded once."""
    values = fractions.astype(float)
    return tracked(values, OURS * np.abs(values))


def check_never_explores(subject: Subject, case: Case) -> Iterable[Claim]:
    """ε = 0 is the greedy policy, uniform over ties (C38)."""
    got = results(subject, case.but(epsilon=0.0), "probabilities")
    yield claim(got, nearest(greedy(case["q_values"])))


def check_always_explores(subject: Subject, case: Case) -> Iterable[Claim]:
    """ε = 1 is the uniform policy."""
    got = results(subject, case.but(epsilon=1.0), "probabilities")
    share = np.full(got.shape, Fraction(1, got.shape[-1]), dtype=object)
    yield claim(got, nearest(share))


def check_odds(subject: Subject, case: Case) -> Iterable[Claim]:
    """Of two actions the lesser is less likely by exp of the difference over τ."""
    got, values = results(subject, case, "probabilities"), tracked(case["q_values"])
    temperature = Tracked(case["temperature"], OURS)
    for i in np.ndindex(got.shape[:-1]):
        best = int(case["q_values"][i].argmax())
        odds = mapped(Tracked.exp, (values[i] - values[*i, best]) / temperature)
        yield claim(got[i], odds * got[*i, best])


def check_cold(subject: Subject, case: Case) -> Iterable[Claim]:
    """As τ → 0 the policy becomes greedy, uniformly over ties: at most (A − 1) e^(−1/τ) off."""
    values = case["q_values"]
    # ranks keep the order and the ties, and are whole numbers
    ranks = (values[..., :, None] > values[..., None, :]).sum(axis=-1).astype(float)
    for halvings in (2, 4, 6):
        cold = case.but(q_values=ranks, temperature=2.0**-halvings)
        got = results(subject, cold, "probabilities")
        rest = (values.shape[-1] - 1) * Tracked(-(2.0**halvings), OURS).exp()
        one = claim(got, nearest(greedy(values)))
        yield Claim(one.got, one.wanted, one.allowed + float(rest) + rest.free_bound())
