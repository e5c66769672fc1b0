"""The estimators that the suite brings itself, as weights of the scores.

    ĝ = Σₜ wₜ ∂log π(aₜ|sₜ)/∂θ        one trajectory
    ĝ = (1/N) Σᵢ Σₜ wₜᵢ ∂log π(aₜᵢ|sₜᵢ)/∂θ        a batch that its weights couple

An estimator is its weights: w is γᵗGₜ for reward-to-go, γᵗ(Gₜ − V(sₜ)) with a baseline, and so
on. They are written in the numbers of the situation, so that with fractions the answer is exact.

The one identity to remember: E[f ∂log π(aₜ|sₜ)] = 0 for whatever f is known before aₜ is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlverify.biasing.situation import Recorded, Situation

Weights = Callable[[Recorded], Any]


@dataclass(frozen=True)
class Estimator:
    """An estimator that the suite brings.

    Attributes:
        name: for the command line.
        formula: its weight wₜ.
        sentence: what it is.
        weights: computes them, [H, N] or what broadcasts to it.
        coupled: whether the weights of a trajectory depend on the rest of its batch.
        ordered: whether they depend on the order in the batch too.
        rational: whether they are fractions where the numbers of the situation are.
    """

    name: str
    formula: str
    sentence: str
    weights: Weights
    coupled: bool = False
    ordered: bool = False
    rational: bool = True

    def estimate(self, recorded: Recorded) -> Any:
        """Return one estimate a trajectory, [N, P], or one of the batch, [P]."""
        estimates = recorded.weighted(self.weights(recorded))
        return estimates.sum(axis=0) / recorded.situation.batch if self.coupled else estimates


# --- baselines that are expectations themselves --------------------------------------------------


def optimal_constant(situation: Situation) -> Any:
    """The constant c for which γᵗ(Gₜ − c) scatters least.

        c = E⟨Φ, ĝ⟩ / E‖Φ‖²        Φ = Σₜ γᵗ ∂log π(aₜ|sₜ)/∂θ,  ĝ that of reward-to-go

    Source: Greensmith, Bartlett & Baxter 2004, JMLR 5, the constant baseline; a least-squares
        problem in one unknown, for the mean E ĝ − c E Φ = E ĝ does not depend on c.
    """
    every = situation.recorded
    return _coefficient(situation, every.powers, every.weighted(every.powers * every.returns))


def _coefficient(situation: Situation, weights: Any, estimates: Any) -> Any:
    """Return what multiple of Σₜ wₜ ∂log π takes most of the scatter away from estimates."""
    every = situation.recorded
    direction, chances = every.weighted(weights), every.found.probabilities
    size = chances @ (direction * direction).sum(axis=1)
    if size == 0:  # the state is never met, or has one action only
        return situation.number(0)
    return chances @ (direction * estimates).sum(axis=1) / size


def optimal_baseline(situation: Situation) -> Any:
    """The b(t, s) for which Σₜ γᵗ(Gₜ − b(t, sₜ)) ∂log π(aₜ|sₜ) scatters least, [H, S].

        b(t,s) = E⟨φ, ĝ⟩ / E‖φ‖²        φ = γᵗ [sₜ = s] ∂log π(aₜ|sₜ)/∂θ

    Least squares in all b(t, s) together. Its normal equations are diagonal: for t < k the
    scores of both steps have the product of mean 0 given what happened before a_k. The cross
    terms ⟨φ_{t,s}, γᵏ G_k ∂log π(a_k|s_k)⟩ do not vanish, so this is not the quotient
    E[‖∂log π‖² Q] / E‖∂log π‖² of a single step, which is optimal where H is 1.

    Source: Greensmith, Bartlett & Baxter 2004, JMLR 5, the baseline of a state; Keane & Gao
        2022, arXiv:2212.13587, the baseline of all steps together.
    Ours: derived for a finite horizon and a softmax table, as above.
    """
    every, mdp = situation.recorded, situation.mdp
    estimates = every.weighted(every.powers * every.returns)
    nothing = situation.number(0)
    result = np.full((every.steps, mdp.states), nothing, dtype=situation.policy.dtype)
    for t in range(every.steps):
        for s in range(mdp.states):
            weights = np.full(every.found.mask.shape, nothing, dtype=result.dtype)
            weights[t] = np.where(every.found.states[t] == s, every.powers[t, 0], nothing)
            result[t, s] = _coefficient(situation, weights, estimates)
    return result


def _batch_mean(recorded: Recorded) -> Any:
    return recorded.totals - recorded.returns[0].sum() / recorded.situation.batch


def _leave_one_out(recorded: Recorded) -> Any:
    got, count = recorded.returns[0], recorded.situation.batch
    return recorded.totals - (got.sum() - got) / (count - 1)


def _optimal(recorded: Recorded) -> Any:
    baseline = optimal_baseline(recorded.situation)
    rows = np.arange(recorded.steps)[:, None]
    return recorded.powers * (recorded.returns - baseline[rows, recorded.found.states[:-1]])


def _per_decision(recorded: Recorded) -> Any:
    """Σ_{k≥t} γᵏ rₖ Π_{j≤k} ρⱼ, and the last product for what follows the time limit."""
    paid = recorded.powers * recorded.found.rewards * recorded.ratios_so_far
    gamma, last = recorded.situation.gamma, recorded.returns[-1] - recorded.found.rewards[-1]
    final = gamma ** (recorded.steps - 1) * last * recorded.ratios_so_far[-1]
    return recorded.accumulated(paid, 1, final)


ON_POLICY = (
    Estimator(
        "total-return", "R", "REINFORCE with the return of the whole trajectory",
        lambda r: r.totals,
    ),
    Estimator(
        "total-return-gamma-t", "γᵗ R", "the same, with γᵗ before each step too",
        lambda r: r.powers * r.totals,
    ),
    Estimator(
        "reward-to-go", "γᵗ Gₜ", "REINFORCE with what is paid from step t on",
        lambda r: r.powers * r.returns,
    ),
    Estimator(
        "reward-to-go-no-gamma-t", "Gₜ", "the same, without γᵗ before each step",
        lambda r: r.returns,
    ),
    Estimator(
        "one-step", "γᵗ rₜ", "REINFORCE of the one-step game, at every step",
        lambda r: r.powers * r.found.rewards,
    ),
    Estimator(
        "constant-baseline", "γᵗ (Gₜ − J)", "reward-to-go less a constant, here J",
        lambda r: r.powers * (r.returns - r.situation.objective),
    ),
    Estimator(
        "optimal-constant", "γᵗ (Gₜ − c*)", "reward-to-go less the constant that scatters least",
        lambda r: r.powers * (r.returns - optimal_constant(r.situation)),
    ),
    Estimator(
        "batch-mean", "R − mean R", "total return less the mean return of the batch",
        _batch_mean, coupled=True,
    ),
    Estimator(
        "leave-one-out", "R − mean of the others'",
        "total return less the mean return of the others in the batch",
        _leave_one_out, coupled=True,
    ),
    Estimator(
        "value-baseline", "γᵗ (Gₜ − V(sₜ))", "reward-to-go less what the critic says",
        lambda r: r.powers * (r.returns - r.values),
    ),
    Estimator(
        "value-baseline-no-gamma-t", "Gₜ − V(sₜ)", "the same, without γᵗ before each step",
        lambda r: r.returns - r.values,
    ),
    Estimator(
        "optimal-baseline", "γᵗ (Gₜ − b*(t, sₜ))",
        "reward-to-go less the baseline of time and state that scatters least", _optimal,
    ),
    Estimator(
        "actor-critic", "γᵗ δₜ", "one-step actor-critic: the TD error",
        lambda r: r.powers * r.errors,
    ),
    Estimator(
        "gae", "γᵗ Âₜ", "generalised advantage estimates",
        lambda r: r.powers * r.advantages,
    ),
    Estimator(
        "gae-no-gamma-t", "Âₜ", "the same, without γᵗ before each step, as most code has it",
        lambda r: r.advantages,
    ),
    Estimator(
        "likelihood", "1", "log-likelihood of what was done: the policy gradient with Q = 1",
        lambda r: np.full(r.found.mask.shape, r.situation.number(1)),
    ),
)  # fmt: skip

OFF_POLICY = (
    Estimator(
        "importance-trajectory", "ρ₀…ρ_{T−1} γᵗ Gₜ",
        "reward-to-go, weighted by the ratio of the whole trajectory",
        lambda r: r.ratios_so_far[-1] * r.powers * r.returns,
    ),
    Estimator(
        "importance-step", "Σₖ≥ₜ ρ₀…ρₖ γᵏ rₖ",
        "reward-to-go, each reward weighted by the ratios up to it",
        _per_decision,
    ),
    Estimator(
        "importance-value-baseline", "ρ₀…ρ_{T−1} γᵗ (Gₜ − V(sₜ))",
        "the first with what the critic says as baseline",
        lambda r: r.ratios_so_far[-1] * r.powers * (r.returns - r.values),
    ),
    Estimator(
        "importance-current", "ρₜ γᵗ Gₜ", "each step weighted by its own ratio only, as in PPO",
        lambda r: r.found.ratios * r.powers * r.returns,
    ),
)  # fmt: skip


# those that make sense where another policy acts, the others being what they are without weights
WITHOUT_WEIGHTS = ("total-return", "reward-to-go", "reward-to-go-no-gamma-t", "likelihood")


def estimators(situation: Situation) -> tuple[Estimator, ...]:
    """Return those that the suite brings for a situation, the biased ones among them."""
    if situation.behaviour is not None:
        kept = tuple(item for item in ON_POLICY if item.name in WITHOUT_WEIGHTS)
        return (*kept, *OFF_POLICY)
    # of a batch of one nothing is left when one is left out
    return tuple(item for item in ON_POLICY if situation.batch > 1 or item.name != "leave-one-out")
