"""Laws of TD(λ), none of which keeps an eligibility trace the way the function does."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._recordings import discounts, equals_exactly, exact
from rlverify.inputs import cut_of

RECORDED = ("states", "rewards", "next_states", "terminated", "truncated")


def part(case: Case, rows: slice, columns: slice = slice(None)) -> Case:
    """Return the part of a recording within the given rows and columns; the table is whole."""
    changes: dict[str, Any] = {name: case[name][rows, columns] for name in RECORDED}
    if isinstance(case["gamma"], np.ndarray):
        changes["gamma"] = case["gamma"][rows, columns]
    return case.but(**changes)


def same(subject: Subject, case: Case, other: Case, scale: float = 1.0) -> Iterator[Claim]:
    """Claim that two cases give the same table, but for a factor."""
    got, allowed = subject(case)["values"], subject.bound(case)["values"]
    wanted, bound = subject(other)["values"], subject.bound(other)["values"]
    yield Claim(got, scale * wanted, allowed + scale * bound)


def check_columns(subject: Subject, case: Case) -> Iterable[Claim]:
    """Compare every table with the one learnt from its column alone."""
    got, allowed = subject(case)["values"], subject.bound(case)["values"]
    for b in range(case["rewards"].shape[1]):
        column = part(case, slice(None), slice(b, b + 1))
        alone, bound = subject(column)["values"], subject.bound(column)["values"]
        yield Claim(got[:, b : b + 1], alone, allowed[:, b : b + 1] + bound)


def check_split(subject: Subject, case: Case) -> Iterable[Claim]:
    """Offline, what a column teaches is the sum of what its episodes teach."""
    inside = cut_of(case["terminated"], case["truncated"])[:-1]
    columns = np.flatnonzero(inside.any(axis=0))
    if columns.size == 0:
        return
    whole = part(case, slice(None), slice(int(columns[0]), int(columns[0]) + 1)).but(online=False)
    starts = [0, *(int(t) + 1 for t in np.flatnonzero(inside[:, columns[0]]))]
    stops = [*starts[1:], len(case["rewards"])]
    start = exact(case["initial_values"])[:, None]
    total, slack = start.copy(), np.zeros(start.shape)
    for a, b in zip(starts, stops, strict=True):
        episode = part(whole, slice(a, b))
        learnt = subject(episode)["values"]
        if not np.isfinite(learnt).all():
            return
        total = total + exact(learnt) - start
        slack = slack + subject.bound(episode)["values"]
    yield equals_exactly(subject(whole)["values"], total, subject.bound(whole)["values"] + slack)


def check_forward(subject: Subject, case: Case) -> Iterable[Claim]:
    """Offline, each visit moves its state towards the λ-return, by the step size (C28)."""
    offline = case.but(online=False, traces="accumulating")
    cut, lam = cut_of(case["terminated"], case["truncated"]), Fraction(case["lam"])
    values, gamma = exact(case["initial_values"]), exact(discounts(case))
    rewards, alpha = exact(case["rewards"]), Fraction(case["step_size"])
    wanted = np.repeat(values[:, None], cut.shape[1], axis=1)
    for b in range(cut.shape[1]):
        following = Fraction(0)
        for t in reversed(range(cut.shape[0])):
            after = values[case["next_states"][t, b]]
            mixture = after if cut[t, b] else (1 - lam) * after + lam * following
            if not cut[t, b]:  # the λ-return of the next row starts from its own state
                mixture = mixture + lam * (after - values[case["states"][t + 1, b]])
            if case["terminated"][t, b]:
                mixture = Fraction(0)
            following = rewards[t, b] + gamma[t, b] * mixture
            state = case["states"][t, b]
            wanted[state, b] = wanted[state, b] + alpha * (following - values[state])
    yield equals_exactly(subject(offline)["values"], wanted, subject.bound(offline)["values"])


def check_last_reward(subject: Subject, case: Case) -> Iterable[Claim]:
    """From nothing, a reward of the last step is credited with γλ for each step since a visit."""
    steps, batch = case["rewards"].shape
    rewards = np.zeros((steps, batch))
    rewards[-1] = 1
    silent = case.but(rewards=rewards, initial_values=np.zeros_like(case["initial_values"]))
    cut, gamma = cut_of(case["terminated"], case["truncated"]), exact(discounts(case))
    wanted = np.full((len(case["initial_values"]), batch), Fraction(0))
    for b in range(batch):
        share, met = Fraction(case["step_size"]), set()
        for t in reversed(range(steps)):
            if t < steps - 1:
                if cut[t, b]:
                    break
                share = share * gamma[t, b] * Fraction(case["lam"])
            state = int(case["states"][t, b])
            if case["traces"] == "accumulating" or state not in met:
                wanted[state, b] = wanted[state, b] + share
            met.add(state)
    yield equals_exactly(subject(silent)["values"], wanted, subject.bound(silent)["values"])


def check_one_step(subject: Subject, case: Case) -> Iterable[Claim]:
    """With λ = 0 each step moves the one state it left, online by the table as it stands."""
    zero = case.but(lam=0.0)
    start, gamma = exact(case["initial_values"]), exact(discounts(case))
    rewards, alpha = exact(case["rewards"]), Fraction(case["step_size"])
    wanted = np.repeat(start[:, None], rewards.shape[1], axis=1)
    for t, b in np.ndindex(rewards.shape):
        known = wanted[:, b] if case["online"] else start
        state, later = case["states"][t, b], case["next_states"][t, b]
        after = Fraction(0) if case["terminated"][t, b] else known[later]
        error = rewards[t, b] + gamma[t, b] * after - known[state]
        wanted[state, b] = wanted[state, b] + alpha * error
    yield equals_exactly(subject(zero)["values"], wanted, subject.bound(zero)["values"])


def check_unread(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where an episode terminated, it does not matter in which state."""
    if not case["terminated"].any():
        return
    moved = (case["next_states"] + 1) % len(case["initial_values"])
    yield from same(
        subject,
        case.but(next_states=np.where(case["terminated"], moved, case["next_states"])),
        case,
    )


def check_terminated_wins(subject: Subject, case: Case) -> Iterable[Claim]:
    """Set `truncated` wherever `terminated` is set: nothing changes."""
    if not case["terminated"].any():
        return
    both = case.but(truncated=case["truncated"] | case["terminated"])
    yield from same(subject, both, case.but(truncated=case["truncated"] & ~case["terminated"]))


def check_per_step_gamma(subject: Subject, case: Case) -> Iterable[Claim]:
    """Give γ once for all, and once for every step: nothing changes."""
    if not isinstance(case["gamma"], np.ndarray):
        yield from same(subject, case.but(gamma=discounts(case).copy()), case)


LAWS = (
    Law("columns-independent", "a table does not depend on other columns", check_columns),
    Law("split-at-ends", "offline, what episodes teach adds up", check_split),
    Law("forward-view", "offline, each visit moves its state towards the λ-return", check_forward,
        claim="C28"),
    Law("last-reward", "a last reward is credited with (γλ)ᵏ, k steps after a visit",
        check_last_reward),
    Law("lambda-zero", "λ = 0 moves the state that was left, by the one-step error",
        check_one_step),
    Law("terminal-state-unread", "the state after a termination is never read", check_unread),
    Law("terminated-wins", "where both flags are set, terminated decides", check_terminated_wins),
    Law("gamma-per-step", "a discount given for every step equals the same one given once",
        check_per_step_gamma),
)  # fmt: skip
