"""Laws of GRPO: what advantages of groups and losses over tokens satisfy."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from rlverify.contract import Case, Claim, Law, Subject
from rlverify.contracts._loss_laws import finite, number
from rlverify.contracts._masks import mask_of
from rlverify.contracts._measured import exactly
from rlverify.contracts._recordings import equals_exactly, exact, same

TOKENS = ("log_probs", "old_log_probs", "reference_log_probs", "mask")
SHIFT = 8

# --- advantages of groups ----------------------------------------------------------------------


def check_group_sum(subject: Subject, case: Case) -> Iterable[Claim]:
    """The advantages of each group sum to 0."""
    got, allowed = subject(case)["advantages"], subject.bound(case)["advantages"]
    for group in np.unique(case["group_ids"]):
        own = case["group_ids"] == group
        if np.isfinite(got[own]).all():
            total = float(sum(exact(got[own])))
            slack = float(allowed[own].sum()) * (1 + own.sum() * 2.0**-53)
            yield Claim(np.array([total]), np.zeros(1), np.array([slack]))


def check_sorted(subject: Subject, case: Case) -> Iterable[Claim]:
    """Groups that stand together get what they got scattered."""
    order = np.argsort(case["group_ids"], kind="stable")
    together = case.but(rewards=case["rewards"][order], group_ids=case["group_ids"][order])
    got, wanted = subject(together)["advantages"], subject(case)["advantages"][order]
    slack = subject.bound(together)["advantages"] + subject.bound(case)["advantages"][order]
    yield Claim(got, wanted, slack)


def check_renamed(subject: Subject, case: Case) -> Iterable[Claim]:
    """The numbers of the groups are names: other numbers change nothing."""
    yield from same(subject, case.but(group_ids=20 - 2 * case["group_ids"]), subject(case), case)


def check_group_shift(subject: Subject, case: Case) -> Iterable[Claim]:
    """8 more on every reward of one group changes nothing."""
    if case.arguments.get("scale") == "batch":
        return  # the batch spreads
    own = case["group_ids"] == case["group_ids"][0]
    shifted = case.but(rewards=np.where(own, case["rewards"] + SHIFT, case["rewards"]))
    yield from same(subject, shifted, subject(case), case)


def check_units(subject: Subject, case: Case) -> Iterable[Claim]:
    """Rewards and ε in other units give the same advantages, or those units, undivided."""
    twice = case.but(rewards=2 * case["rewards"], eps=2 * case["eps"])
    factor = 2.0 if case["scale"] == "none" else 1.0
    wanted = {"advantages": factor * subject(case)["advantages"]}
    yield from same(subject, twice, wanted, case, factor)


def check_pairs(subject: Subject, case: Case) -> Iterable[Claim]:
    """Two mixed pairs, 4 and 1 about their means, have a closed form."""
    pairs = case.but(
        rewards=np.array([4.0, 1.0, -4.0, 3.0]), group_ids=np.array([5, 2, 5, 2]), kind="plain"
    )
    distances, wanted, slack = (4, -1, -4, 1), np.zeros(4), np.zeros(4)
    for i, distance in enumerate(distances):
        # squares: twice 16 and twice 1 in the groups; 9, 0, 25 and 4 in the batch
        squares = {"group": 2 * distance**2, "batch": 38}
        members = {"group": 2, "batch": 4}
        value = exactly(distance)
        if case["scale"] != "none":
            free = members[case["scale"]] - case["ddof"]
            deviation = (exactly(squares[case["scale"]]) / free).sqrt()
            value = value / (deviation + exactly(case["eps"]))
        wanted[i], slack[i] = float(value), value.running_bound()
    allowed = subject.bound(pairs)["advantages"] + slack
    yield Claim(subject(pairs)["advantages"], wanted, allowed)


def check_alone(subject: Subject, case: Case) -> Iterable[Claim]:
    """Somebody alone in a group, and equal rewards, get exactly 0."""
    changed = case.but(
        rewards=np.append(np.where(np.isnan(case["rewards"]), 1.0, case["rewards"]), [3, 5, 5]),
        group_ids=np.append(case["group_ids"], [20, 30, 30]), kind="plain",
    )  # fmt: skip
    yield Claim(subject(changed)["advantages"][-3:], np.zeros(3), np.zeros(3))


def check_failed(subject: Subject, case: Case) -> Iterable[Claim]:
    """A reward that is NaN makes all advantages of its group NaN: nobody can tell its mean."""
    rewards = case["rewards"].copy()
    rewards[0] = np.nan
    own = case["group_ids"] == case["group_ids"][0]
    got = subject(case.but(rewards=rewards))["advantages"][own]
    yield Claim(got, np.full(got.shape, np.nan), np.zeros(got.shape))


def check_own_silent(subject: Subject, case: Case) -> Iterable[Claim]:
    """8 more for one raises its own advantage by 8 and lowers the others' in the group."""
    samples = len(case["rewards"])
    group = case["group_ids"] == case["group_ids"][0]
    raised = case.but(rewards=case["rewards"] + SHIFT * np.eye(samples)[0])
    plain = subject(case)["advantages"]
    if np.isfinite(plain).all():
        wanted = exact(plain)
        for i in np.flatnonzero(group):
            wanted[i] += SHIFT if i == 0 else Fraction(-SHIFT, int(group.sum()) - 1)
        allowed = subject.bound(raised)["advantages"] + subject.bound(case)["advantages"]
        yield equals_exactly(subject(raised)["advantages"], wanted, allowed)


def check_centred(subject: Subject, case: Case) -> Iterable[Claim]:
    """A = n/(n − 1) (r − mean of the group)."""
    rewards = exact(case["rewards"])
    wanted = rewards.copy()
    for i in range(len(rewards)):
        own = case["group_ids"] == case["group_ids"][i]
        n = int(own.sum())
        wanted[i] = Fraction(n, n - 1) * (rewards[i] - sum(rewards[own]) / n)
    yield equals_exactly(subject(case)["advantages"], wanted, subject.bound(case)["advantages"])


SORTED = Law("groups-scattered", "where the members of a group stand does not matter", check_sorted)
RENAMED = Law("groups-renamed", "the numbers of the groups do not matter", check_renamed)
GROUP_SUM = Law("group-sums-to-zero", "the advantages of each group sum to 0", check_group_sum)
GROUP_LAWS = (
    GROUP_SUM, SORTED, RENAMED,
    Law("group-shift", "8 more on the rewards of a group change nothing", check_group_shift),
    Law("units", "twice the rewards and ε leave the divided advantages", check_units),
    Law("two-pairs", "two mixed pairs have a closed form", check_pairs),
    Law("alone-is-zero", "alone in a group, or equal in it: exactly 0", check_alone),
    Law("failed-stays-failed", "a reward of NaN makes its group NaN", check_failed),
)  # fmt: skip
LEAVE_ONE_OUT_LAWS = (
    GROUP_SUM, SORTED, RENAMED,
    Law("own-reward-silent", "the own reward has no influence on what is taken off it",
        check_own_silent),
    Law("n/(n-1)-centred", "A = n/(n − 1) (r − mean)", check_centred),
)  # fmt: skip

# --- tokens ------------------------------------------------------------------------------------


def estimate(case: Case, place: tuple[int, ...]) -> Any:
    """Return the KL estimate of one token, with its rounding."""
    difference = exactly(case["reference_log_probs"][place]) - exactly(case["log_probs"][place])
    if case["kl_estimator"] == "k1":
        return -difference
    if case["kl_estimator"] == "k2":
        return difference * difference / 2
    return difference.exp() - 1 - difference


def padded(case: Case, garbage: float) -> Case:
    """Return the case with two masked columns of garbage appended."""
    changes = {}
    for name in TOKENS:
        if name in case.arguments:
            array = mask_of(case, "log_probs") if name == "mask" else case[name]
            fill = False if name == "mask" else garbage
            changes[name] = np.concatenate([array, np.full((len(array), 2), fill)], axis=1)
    return case.but(**changes)


def check_padding(subject: Subject, case: Case) -> Iterable[Claim]:
    """Appended padding changes nothing, and comes back as 0 where tokens come back."""
    wanted, bound = subject(case), subject.bound(case)
    for garbage in (2.0**15, np.nan):
        longer = padded(case, garbage)
        got, allowed = subject(longer), subject.bound(longer)
        for name in got:
            if got[name].shape == ():
                yield Claim(got[name], wanted[name], allowed[name] + bound[name])
                continue
            empty = np.zeros((len(got[name]), 2))
            yield Claim(got[name], np.concatenate([wanted[name], empty], axis=1),
                        allowed[name] + np.concatenate([bound[name], empty], axis=1))  # fmt: skip


def check_garbage(subject: Subject, case: Case) -> Iterable[Claim]:
    """NaN, inf and 2¹⁵ under the mask do not matter."""
    mask = mask_of(case, "log_probs")
    if mask.all():
        return

    def filled(value: float) -> Case:
        names = [name for name in TOKENS[:3] if name in case.arguments]
        return case.but(**{name: np.where(mask, case[name], value) for name in names})

    wanted = subject(filled(0.0))
    for garbage in (2.0**15, np.nan, np.inf):
        yield from same(subject, filled(garbage), wanted, filled(0.0))


PADDING = Law("padding-invisible", "appended padding changes nothing", check_padding)
GARBAGE = Law("garbage-invisible", "NaN, inf and 2¹⁵ under the mask do not matter", check_garbage)


def rows(case: Case, chosen: Any) -> Case:
    """Return the case with some of its sequences."""
    return case.but(**{
        name: array[chosen]
        for name, array in case.arguments.items() if isinstance(array, np.ndarray)
    })  # fmt: skip


# --- rewards of tokens -------------------------------------------------------------------------


def last_tokens(case: Case) -> np.ndarray:
    """Return where the last real token of each sequence stands."""
    mask = mask_of(case, "log_probs")
    return np.asarray(mask & (np.cumsum(mask[:, ::-1], axis=1)[:, ::-1] == 1))


def check_equal_policies(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where π is π_ref the rewards alone are left, each at its last real token."""
    equal = case.but(reference_log_probs=case["log_probs"])
    wanted = np.where(last_tokens(case), case["rewards"][:, None], 0)
    yield from same(subject, equal, {"token_rewards": wanted})


def check_return(subject: Subject, case: Case) -> Iterable[Claim]:
    """The rewards of a sequence's tokens sum to its reward less β times its estimates."""
    mask = mask_of(case, "log_probs")
    got, allowed = subject(case)["token_rewards"], subject.bound(case)["token_rewards"]
    for b in np.flatnonzero(mask.any(axis=1)):
        wanted = exactly(case["rewards"][b])
        for t in np.flatnonzero(mask[b]):
            wanted = wanted - exactly(case["beta"]) * estimate(case, (int(b), int(t)))
        if np.isfinite(got[b]).all():
            total = sum(exact(got[b]))
            slack = (float(allowed[b].sum()) + wanted.running_bound()) * (1 + 2.0**-40)
            gap = np.array([float(total - Fraction(float(wanted)))])
            yield Claim(gap, np.zeros(1), np.array([slack]))


def check_sequences_alone(subject: Subject, case: Case) -> Iterable[Claim]:
    """A sequence does not depend on the others."""
    whole, bound = subject(case)["token_rewards"], subject.bound(case)["token_rewards"]
    for b in np.flatnonzero(mask_of(case, "log_probs").any(axis=1)):
        part = rows(case, slice(b, b + 1))
        allowed = bound[b : b + 1] + subject.bound(part)["token_rewards"]
        yield Claim(subject(part)["token_rewards"], whole[b : b + 1], allowed)


REWARD_LAWS = (
    Law("equal-policies", "where π is π_ref only the rewards are left", check_equal_policies),
    Law("sums-to-return", "tokens sum to the reward less β times the estimates", check_return),
    Law("sequences-alone", "a sequence does not depend on the others", check_sequences_alone),
    PADDING, GARBAGE,
)  # fmt: skip

# --- the loss ----------------------------------------------------------------------------------


def shares(case: Case) -> np.ndarray:
    """Return the weight that each token has in the loss, [B, L], as fractions."""
    mask = mask_of(case, "log_probs")
    counts = mask.sum(axis=1)
    weights = exact(np.zeros(mask.shape))
    for b, t in np.argwhere(mask):
        weights[b, t] = {
            "token_mean": Fraction(1, int(counts.sum())),
            "sequence_mean": Fraction(1, int((counts > 0).sum()) * int(counts[b])),
            "constant": 1 / Fraction(case["normalizer"]),
        }[case["aggregation"]]
    return weights


def check_on_policy(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where all policies are equal the loss is minus the mean advantage, so weighted."""
    equal = case.but(old_log_probs=case["log_probs"], reference_log_probs=case["log_probs"])
    weights, wanted = shares(case), Fraction(0)
    for place in np.argwhere(mask_of(case, "log_probs")):
        wanted -= weights[tuple(place)] * Fraction(case["advantages"][place[0]])
    yield equals_exactly(subject(equal)["loss"], number(wanted), subject.bound(equal)["loss"])


def check_penalty(subject: Subject, case: Case) -> Iterable[Claim]:
    """Without advantages β times the mean estimate is left, so weighted."""
    silent = case.but(advantages=np.zeros_like(case["advantages"]))
    weights, wanted = shares(case), exactly(0.0)
    for place in map(tuple, np.argwhere(mask_of(case, "log_probs"))):
        share = exactly(weights[place].numerator) / exactly(weights[place].denominator)
        wanted = wanted + exactly(case["beta"]) * estimate(case, place) * share
    allowed = subject.bound(silent)["loss"] + wanted.running_bound()
    yield Claim(subject(silent)["loss"], np.array(float(wanted)), np.asarray(allowed))


def check_clip(subject: Subject, case: Case) -> Iterable[Claim]:
    """Two tokens with ratios e and e⁻²: clipped where that is the lesser; e^(−1/2) as one."""
    policy, edge = np.array([[-2.0, -3.0]]), exactly(case["clip_range"])
    up, down, both = exactly(1.0).exp(), exactly(-2.0).exp(), exactly(-0.5).exp()
    divisor = {"constant": exactly(case["normalizer"])}.get(case["aggregation"], exactly(2.0))
    for advantage in (1.0, -1.0):
        pair = case.but(
            log_probs=policy, old_log_probs=policy - np.array([[1.0, -2.0]]),
            reference_log_probs=policy, advantages=np.array([advantage]), mask=None,
        )  # fmt: skip
        if case["ratio"] == "sequence":
            wanted = -2 * both if advantage > 0 else 2 * max(both, 1 - edge)
        else:
            wanted = -((1 + edge) + down) if advantage > 0 else up + (1 - edge)
        wanted = wanted / divisor
        allowed = np.asarray(subject.bound(pair)["loss"] + wanted.running_bound())
        yield Claim(subject(pair)["loss"], np.array(float(wanted)), allowed)


def check_repeated(subject: Subject, case: Case) -> Iterable[Claim]:
    """Every token twice changes no mean, and doubles the sum."""
    explicit = case.but(mask=mask_of(case, "log_probs"))
    twice = explicit.but(**{name: np.repeat(explicit[name], 2, axis=1) for name in TOKENS})
    factor = 2.0 if case["aggregation"] == "constant" else 1.0
    yield from same(subject, twice, {"loss": factor * subject(case)["loss"]}, case, factor)


def check_parts(subject: Subject, case: Case) -> Iterable[Claim]:
    """The loss is that of its sequences: added, averaged, or averaged by their tokens."""
    counts = mask_of(case, "log_probs").sum(axis=1)
    real = np.flatnonzero(counts)
    parts = [rows(case, slice(b, b + 1)) for b in real]
    whole, losses = subject(case), [subject(part) for part in parts]
    if not finite([whole, *losses]):
        return
    wanted, slack = Fraction(0), 0.0
    for b, part, loss in zip(real, parts, losses, strict=True):
        share = {
            "token_mean": Fraction(int(counts[b]), int(counts.sum())),
            "sequence_mean": Fraction(1, len(real)),
            "constant": Fraction(1),
        }[case["aggregation"]]
        wanted += share * Fraction(float(loss["loss"]))
        slack += float(share) * float(subject.bound(part)["loss"])
    slack = slack * (1 + 4 * len(parts) * 2.0**-53)  # itself a rounded sum
    allowed = subject.bound(case)["loss"] + slack
    yield equals_exactly(whole["loss"], number(wanted), np.asarray(allowed))


LOSS_LAWS = (
    Law("on-policy", "where all policies are equal the loss is minus the mean advantage",
         check_on_policy),
    Law("penalty-alone", "without advantages β times the mean estimate is left", check_penalty),
    Law("clipped-pair", "ratios e and e⁻² have a closed form", check_clip),
    Law("tokens-repeated", "every token twice changes no mean", check_repeated),
    Law("sequences-pooled", "the loss is that of its sequences, pooled", check_parts),
    PADDING, GARBAGE,
)  # fmt: skip
