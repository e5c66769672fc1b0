"""What is the matter with a biased estimator, as far as its expectation tells.

A mistaken estimator has an expectation of its own, and that is known exactly: where a stranger's
agrees with it, up to a constant factor and rounding, the mistake has a name. What no name is
known for is told apart by what happens when all rewards are doubled, and by where the baseline
in effect, γᵗQ less the mean weight, depends on the action.
"""

from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.biasing.adaptation import Failure, Stranger
from rlverify.biasing.estimation import Estimator, estimators
from rlverify.biasing.measurement import TARGETS, Finding, float_factor, measure, named_factor
from rlverify.biasing.situation import Recorded, Situation
from rlverify.tabular_envs.finite_mdp import FiniteMDP


def _late(recorded: Recorded) -> Any:
    """r_t + r_{t+1} + γ r_{t+2} + …: the first discount is missing."""
    rewards = recorded.found.rewards
    following = np.concatenate([recorded.returns[1:], np.zeros_like(rewards[:1])])
    return rewards + following


def _through_ends(recorded: Recorded) -> Any:
    paid = recorded.found.rewards + recorded.situation.gamma * recorded.next_values
    return paid - recorded.values


def _q(recorded: Recorded) -> Any:
    rows = np.arange(recorded.steps)[:, None]
    found = recorded.found
    return recorded.situation.worth.action_values[rows, found.states[:-1], found.actions]


def _without_bootstrap(recorded: Recorded) -> Any:
    return recorded.accumulated(recorded.found.rewards, recorded.situation.gamma)


# what is subtracted or put in the place of Gₜ, with what to say of it
_WEIGHTS = (
    ("its baseline Q(sₜ, aₜ) depends on the action", lambda r: r.returns - _q(r)),
    ("its baseline V(sₜ₊₁) depends on the action", lambda r: r.returns - r.next_values),
    ("its baseline, the reward of the step itself, depends on the action",
     lambda r: r.returns - r.found.rewards),
    ("it drops one γ: the reward after the next step is not discounted", _late),
    ("it weighs a step by its own reward only", lambda r: r.found.rewards),
    ("it bootstraps from the state after the end of an episode", _through_ends),
    ("it ignores rewards: this is the log-likelihood", lambda r: np.ones_like(r.found.rewards)),
    ("it puts γᵗ before the return of the whole trajectory", lambda r: r.totals),
)  # fmt: skip
_RATIOS = (
    ("the importance ratio is missing", lambda r: np.ones_like(r.found.ratios)),
    ("it squares the importance ratio of the trajectory", lambda r: r.ratios_so_far[-1] ** 2),
    ("it squares the importance ratio of each step", lambda r: r.found.ratios**2),
    ("it weighs each step by its own ratio only, not by those before and after",
     lambda r: r.found.ratios),
    ("it squares the ratio of the step, among those of the trajectory",
     lambda r: r.ratios_so_far[-1] * r.found.ratios),
    ("it weighs by the ratios up to the step only, not by those after", lambda r: r.ratios_so_far),
)  # fmt: skip


def mistakes(situation: Situation) -> list[Estimator]:
    """Return mistaken estimators whose expectation can be recognised."""
    found = []
    cut = ("it drops what follows the time limit", _without_bootstrap)
    for words, weights in (*_WEIGHTS, *([cut] if situation.bootstrap else [])):
        for start, prefix in ((True, ""), (False, "; and it lacks γᵗ")):
            found.append(Estimator(words + prefix, "", "", _discounted(weights, start=start)))
    if situation.behaviour is not None:
        for words, ratios in _RATIOS:
            for start, prefix in ((True, ""), (False, "; and it lacks γᵗ")):
                weights = _product(ratios)
                found.append(Estimator(words + prefix, "", "", _discounted(weights, start=start)))
            # with the whole return: only the ratio of the whole trajectory makes it the same
            found.append(Estimator(words, "", "", _product_with_total(ratios)))
    return found


def _coupled_mistakes() -> list[Estimator]:
    """Return mistaken estimators of a batch; each costs a sum over all batches."""
    words = "it divides by the number of steps in the batch, not by that of trajectories"
    return [
        Estimator(words, "", "", lambda r: _per_step(r) * r.powers * r.returns, coupled=True),
        Estimator(
            words + "; and it lacks γᵗ", "", "", lambda r: _per_step(r) * r.returns, coupled=True
        ),
    ]


def _per_step(recorded: Recorded) -> Any:
    return recorded.situation.batch / recorded.found.mask.sum()


def _discounted(weights: Any, *, start: bool) -> Any:
    return (lambda r: r.powers * weights(r)) if start else weights


def _product(ratios: Any) -> Any:
    return lambda r: ratios(r) * r.returns


def _product_with_total(ratios: Any) -> Any:
    return lambda r: ratios(r) * r.totals


def diagnosis(situation: Situation, stranger: Stranger | None, found: Finding) -> str:
    """Return what is the matter with a biased estimator, as far as it is known."""
    told = _by_target(situation, found) or _by_factor(situation, found)
    alone = stranger if found.samples == 1 else None
    if found.factor == 0 and alone is not None:
        told = "; ".join([told, *filter(None, [_by_action(alone)])])
    told = told or _recognised(situation.floating(), found)
    if told or stranger is None:
        return told
    told = _by_scale(stranger) or (_by_action(alone) if alone is not None else "")
    return told or "what is the matter is not known"


def _by_target(situation: Situation, found: Finding) -> str:
    if found.target == "field":
        return (
            "it lacks γᵗ before each step: it follows the field without γᵗ, which in general is "
            "no function's gradient"
        )
    if found.target == "undiscounted":
        return "it does not discount: it is unbiased for γ = 1"
    return ""


def _by_factor(situation: Situation, found: Finding) -> str:
    value, size = found.factor, found.samples
    if value is None or value == 1:
        return ""
    batch, name = situation.batch, named_factor(value, situation, situation.batch)
    if value == 0:
        return "its mean is 0"
    if value < 0:
        return (
            f"its sign is reversed, the mean is {value} ∇J: an objective to maximise is declared "
            f"with '-> objective'"
        )
    if size > 1 and value == Fraction(size - 1, size):
        return (
            f"the baseline contains the return it is subtracted from: the mean is "
            f"(N−1)/N = {value} of ∇J"
        )
    if value == batch:
        return f"it sums over the batch in place of a mean: the mean is {name} times ∇J"
    return f"the mean is {name} times ∇J"


def _recognised(situation: Situation, found: Finding) -> str:
    """Return the mistake that has the same mean, up to a factor."""
    mean = found.expectation.mean.astype(np.float64)
    if not np.abs(mean).max() > found.allowed.max():
        return ""
    known = [(item, item.name) for item in mistakes(situation)]
    known += [
        (item, f"its mean is that of {item.name}, {item.formula}{_wrong(situation, item.name)}")
        for item in estimators(situation)
        if not item.coupled
    ]
    every, candidates = situation.recorded, [(TARGETS["field"], situation.field)]
    for item, words in known:
        candidates.append((words, every.found.probabilities @ item.estimate(every)))
    scaled = ""
    if found.samples > 1:
        for item in _coupled_mistakes():
            candidates.append((item.name, measure(situation, item).expectation.mean))
    for words, other in candidates:
        other = other.astype(np.float64)
        value = float_factor(mean, other, found.allowed)
        if value == 1:
            return words
        if value and not scaled:
            times = named_factor(value, situation, max(found.samples, situation.batch))
            scaled = f"{words}, times {times}" if words not in TARGETS.values() else (
                f"the mean is {times} times {words}"
            )  # fmt: skip
    return scaled


def _wrong(situation: Situation, name: str) -> str:
    bootstraps = name in ("actor-critic", "gae", "gae-no-gamma-t")
    wrong = situation.table is not None or situation.error is not None
    return ": it bootstraps from a critic that is wrong" if bootstraps and wrong else ""


def _by_scale(stranger: Stranger) -> str:
    """Tell how the estimates of a few batches grow when all that is paid is doubled."""
    given = stranger.situation
    mdp = given.mdp
    doubled = Situation(
        FiniteMDP(mdp.transition, 2 * mdp.reward, mdp.terminal, mdp.start, mdp.name),
        given.policy, given.behaviour, given.gamma, given.lam, given.horizon, given.batch,
        None, 2 * given.critic, given.bootstrap,
    )  # fmt: skip
    try:
        one = np.stack([estimate for estimate, _ in stranger.estimates(stranger.probes())])
        two = np.stack([estimate for estimate, _ in stranger.estimates(stranger.probes(), doubled)])
    except Failure:
        return ""
    size = np.linalg.norm(one)
    if size == 0:
        return ""
    if np.linalg.norm(two - one) < np.linalg.norm(two - 2 * one):
        return (
            "it divides by the spread of the batch: with all rewards doubled its estimates hardly "
            "change, so batches of small spread count as much as those of large spread"
        )
    return ""


def _by_action(stranger: Stranger) -> str:
    """Tell where the mean weight, less γᵗQ, depends on the action."""
    situation = stranger.situation
    if situation.behaviour is not None:
        return ""
    try:
        alone = stranger.estimates([[i] for i in range(situation.trajectories.probabilities.size)])
    except Failure:
        return ""
    if any(weights is None for _, weights in alone):
        return ""
    every = situation.recorded
    weights = np.zeros(every.found.mask.shape)
    for i, (_, each) in enumerate(alone):
        weights[: each.shape[0], i] = each[:, 0]
    chances, q = every.found.probabilities, situation.worth.action_values
    worst, told = 0.0, ""
    for t in range(every.steps):
        for s in range(situation.mdp.states):
            effect = {}
            for a in range(situation.mdp.actions):
                at = (every.found.states[t] == s) & (every.found.actions[t] == a)
                at &= every.found.mask[t]
                if chances[at].sum() > 0:
                    mean = (chances[at] * weights[t, at]).sum() / chances[at].sum()
                    effect[a] = every.powers[t, 0] * q[t, s, a] - mean
            if len(effect) > 1 and max(effect.values()) - min(effect.values()) > worst:
                worst = max(effect.values()) - min(effect.values())
                each = ", ".join(f"{value:.4g} for action {a}" for a, value in effect.items())
                told = (
                    f"what it subtracts from γᵗQ depends on the action: in state {s} at step {t} "
                    f"it is {each}"
                )
    return told
