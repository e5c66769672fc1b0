"""Contracts of the topic `q_learning`: four targets; the loss and the target network elsewhere."""

from collections.abc import Iterable

import numpy as np

from rlverify.contract import (
    Case,
    Claim,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
    Law,
    Subject,
)
from rlverify.contracts._q_cases import (
    BACKUP,
    COMMON_LAWS,
    ILLEGAL,
    OPEN,
    RENAMED,
    SIZES,
    arguments,
    backup_bugs,
    expects,
    good,
    legal_of,
    one_best,
    read_of,
    refusals,
    sized,
    transitions,
)
from rlverify.contracts._q_updates import LOSS_CONTRACT, SOFT_UPDATE_CONTRACT
from rlverify.contracts._recordings import same
from rlverify.fast import q_learning as fast
from rlverify.reference import q_learning as reference

GREEDY = ("rewards", "next_q_values", "terminated", "legal", "gamma")
DOUBLE = ("rewards", "next_q_online", "next_q_target", "terminated", "legal", "gamma")
TAKEN = ("rewards", "next_q_values", "next_actions", "terminated", "gamma")
EXPECTED = ("rewards", "next_q_values", "next_probabilities", "terminated", "legal", "gamma")
Array = np.ndarray

# --- laws of one target --------------------------------------------------------------------------


def check_greatest(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where one legal action is worth 3 and the others less, the next state is worth 3.

    So it is with −1: what is illegal is worth nothing, which is not 0.
    """
    for _, values in one_best(case):
        for lower in (0.0, 4.0):
            worse = case.but(next_q_values=values - lower)
            yield expects(subject, worse, np.full(len(values), 3.0 - lower))


def check_picked(subject: Subject, case: Case) -> Iterable[Claim]:
    """The next state is worth what the target network says of the one best action online."""
    for best, online in one_best(case):
        target = np.where(best | read_of(case), case["next_q_target"], 0)
        worth = np.where(case["terminated"], 0, np.where(best, target, 0).sum(axis=1))
        if np.isfinite(worth).all():
            yield expects(subject, case.but(next_q_online=online), worth)


def check_rank_only(subject: Subject, case: Case) -> Iterable[Claim]:
    """Of the online values only the ranks matter: four times them changes nothing."""
    raised = case.but(next_q_online=4 * case["next_q_online"])
    yield from same(subject, raised, subject(case), case)


def check_taken(subject: Subject, case: Case) -> Iterable[Claim]:
    """The next state is worth what the action taken in it is."""
    rows = np.arange(len(case["rewards"]))
    worth = np.where(case["terminated"], 0, case["next_q_values"][rows, case["next_actions"]])
    yield expects(subject, case, worth)


def check_others_unread(subject: Subject, case: Case) -> Iterable[Claim]:
    """The values of actions that were not taken change nothing."""
    taken = np.arange(case["next_q_values"].shape[1]) == case["next_actions"][:, None]
    there = case.but(next_q_values=np.where(taken, case["next_q_values"], 2.0**13))
    yield from same(subject, there, subject(case), case)


def check_certain(subject: Subject, case: Case) -> Iterable[Claim]:
    """A policy that is certain of one action makes the next state worth what that is."""
    for best, _ in one_best(case):
        worth = np.where(best & ~case["terminated"][:, None], case["next_q_values"], 0)
        certain = case.but(next_probabilities=best * 1.0)
        yield expects(subject, certain, worth.sum(axis=1))


def check_even(subject: Subject, case: Case) -> Iterable[Claim]:
    """Where all actions are worth 3, so is the next state, if probabilities sum to 1."""
    legal, mass = legal_of(case), np.where(read_of(case), case["next_probabilities"], 0)
    even = case.but(next_q_values=np.where(legal, 3.0, case["next_q_values"]))
    yield expects(subject, even, 3 * mass.sum(axis=1))


# --- the greatest value --------------------------------------------------------------------------

ACTIONS = "_legal_actions(next_q_values, legal, n)"
ALL = "list(range(next_q_values.shape[1]))"
PICK = f"_greedy(next_q_values[n], {ACTIONS})"
EVERYTHING = (
    "max(next_q_values[m, a] for m in range(len(rewards))\n"
    "                            for a in _legal_actions(next_q_values, legal, m))"
)
VALUE = "bootstrap = next_q_values[n, best]"


def target_of_maximum(
    rewards: Array, next_q_values: Array, terminated: Array, legal: Array | None,
    gamma: float | Array,
) -> Array:  # fmt: skip
    """Replace what is not read before the maximum, rather than after it."""
    read = ~terminated[:, None] & (True if legal is None else legal)
    greatest = np.where(read, next_q_values, -1e300).max(axis=1)
    return np.asarray(np.where(terminated, rewards, rewards + gamma * greatest))


Q_CONTRACT = Contract(
    name="q_learning_target",
    topic="q_learning",
    summary="target of Q-learning and of DQN: reward and the greatest value that follows",
    source="Watkins 1989; Mnih et al. 2015, methods, algorithm 1",
    reference=reference.q_learning_target,
    fast=fast.q_learning_target,
    arguments=arguments(GREEDY),
    outputs=("targets",),
    inputs=transitions(GREEDY),
    examples=(
        Example(
            "one goes on, one ended, one action is illegal",
            Case(
                {"rewards": np.array([1.0, 2.0, 3.0]),
                 "next_q_values": np.array([[2.0, 4.0], [100.0, 200.0], [np.inf, -6.0]]),
                 "terminated": np.array([False, True, False]),
                 "legal": np.array([[True, True], [False, False], [False, True]]),
                 "gamma": 0.5},
                label="worked by hand",
            ),
            {"targets": ["3", "2", "0"]},
        ),
    ),
    laws=(
        *COMMON_LAWS,
        ILLEGAL,
        Law("greatest-value", "the next state is worth its best legal action", check_greatest),
    ),
    gradients=("rewards", "next_q_values", "gamma"),
    known_bugs=(
        *backup_bugs(OPEN, "if legal is None or legal[n].any():"),
        KnownBug("H4a", PICK, f"_greedy(next_q_values[n], {ALL})"),
        KnownBug(
            "H4b", VALUE,
            "possible = _legal_actions(next_q_values, legal, n)\n"
            "            bootstrap = max(next_q_values[n, a] if a in possible else 0\n"
            "                            for a in range(next_q_values.shape[1]))",
        ),
        KnownBug(
            "H4c", VALUE,
            "possible = _legal_actions(next_q_values, legal, n)\n"
            "            masked = [next_q_values[n, a] * (1 if a in possible else 0)\n"
            "                      for a in range(next_q_values.shape[1])]\n"
            "            bootstrap = masked[_greedy(masked, range(len(masked)))]",
        ),
        KnownBug(
            "H21", OPEN, "if legal is None or legal[n].any():",
            also=(
                ("bootstrap = 0\n", "bootstrap = -np.inf  # the greatest of nothing\n"),
                (BACKUP, BACKUP.replace("* bootstrap", "* bootstrap * int(not terminated[n])")),
            ),
        ),
        KnownBug("Q2", VALUE, f"bootstrap = {EVERYTHING}"),
        KnownBug(
            "Q3", VALUE,
            f"possible = {ACTIONS}\n"
            "            bootstrap = sum(next_q_values[n, a] for a in possible) / len(possible)",
        ),
    ),
    equivalents=(
        Equivalent("filled before", "what is not read is filled with a huge negative number, "
                   "before the maximum", target_of_maximum),
    ),
    bad_inputs=refusals("q_learning_target", GREEDY),
    sizes=SIZES,
    sized=sized(GREEDY),
    good=good(GREEDY),
)  # fmt: skip

# --- double Q-learning ---------------------------------------------------------------------------

ONLINE_PICK = "best = _greedy(next_q_online[n], actions)"
JUDGED = "bootstrap = next_q_target[n, best]"
TIES = "if next_q_online[n, a] == next_q_online[n, best]]"
NO_TIES = (TIES, "if a == best]")
TARGET_PICK = "best = _greedy(next_q_target[n], actions)"
FIRST = Convention(
    "clipped_double", "minimum", "the smaller of the two networks' values of the picked action "
    "(Fujimoto, van Hoof & Meger 2018, arXiv:1802.09477, eq. 10)",
    edits=((JUDGED, "bootstrap = min(next_q_target[n, best], next_q_online[n, best])"), NO_TIES),
)  # fmt: skip


def last_of_ties(
    rewards: Array, next_q_online: Array, next_q_target: Array, terminated: Array,
    legal: Array | None, gamma: float | Array,
) -> Array:  # fmt: skip
    """Take the last of equally good actions."""
    read = ~terminated[:, None] & (True if legal is None else legal)
    online = np.where(read, next_q_online, -np.inf)
    best = online.shape[1] - 1 - online[:, ::-1].argmax(axis=1)
    worth = next_q_target[np.arange(len(best)), best]
    with np.errstate(all="ignore"):
        return np.asarray(np.where(terminated, rewards, rewards + gamma * worth))


DOUBLE_CONTRACT = Contract(
    name="double_q_target",
    topic="q_learning",
    summary="target of double DQN: one network picks the action, the other values it",
    source="van Hasselt, Guez & Silver 2016, arXiv:1509.06461, eq. 4",
    reference=reference.double_q_target,
    fast=fast.double_q_target,
    arguments=arguments(DOUBLE),
    outputs=("targets",),
    inputs=transitions(DOUBLE),
    examples=(
        Example(
            "the networks disagree",
            Case(
                {"rewards": np.array([1.0, 2.0]),
                 "next_q_online": np.array([[1.0, 2.0, 9.0], [0.0, 0.0, 0.0]]),
                 "next_q_target": np.array([[8.0, 4.0, 0.0], [8.0, 8.0, 8.0]]),
                 "terminated": np.array([False, True]),
                 "legal": np.array([[True, True, False], [True, True, True]]),
                 "gamma": 0.5},
                label="worked by hand",
            ),
            {"targets": ["3", "2"]},
        ),
    ),
    laws=(
        *COMMON_LAWS,
        ILLEGAL,
        RENAMED,
        Law("picked-online", "the next state is worth what the target network says of the action "
            "that is best online", check_picked),
        Law("ranks-only", "of the online values only the ranks matter", check_rank_only),
    ),
    gradients=("rewards", "next_q_target", "gamma"),
    known_bugs=(
        *backup_bugs(OPEN, "if legal is None or legal[n].any():"),
        KnownBug("H1", JUDGED, "bootstrap = next_q_online[n, best]", also=(NO_TIES,)),
        KnownBug("H2a", ONLINE_PICK, TARGET_PICK, also=(NO_TIES,)),
        KnownBug("H2b", ONLINE_PICK, TARGET_PICK,
                 also=(NO_TIES, (JUDGED, "bootstrap = next_q_online[n, best]"))),
        KnownBug("H3", ONLINE_PICK, "best = _greedy(next_q_online[n - 1], actions)",
                 also=(NO_TIES,)),
        KnownBug("H4a", "actions = _legal_actions(next_q_online, legal, n)",
                 "actions = list(range(next_q_online.shape[1]))"),
    ),
    conventions=(FIRST,),
    equivalents=(
        Equivalent("last of ties", "of equally good actions the last one", last_of_ties),
    ),
    bad_inputs=refusals("double_q_target", DOUBLE),
    sizes=SIZES,
    sized=sized(DOUBLE),
    good=good(DOUBLE),
)  # fmt: skip

# --- the action taken ----------------------------------------------------------------------------

SARSA_CONTRACT = Contract(
    name="sarsa_target",
    topic="q_learning",
    summary="target of SARSA: reward and the value of the action taken next",
    source="Sutton & Barto 2018, eq. 6.7",
    reference=reference.sarsa_target,
    fast=fast.sarsa_target,
    arguments=arguments(TAKEN),
    outputs=("targets",),
    inputs=transitions(TAKEN),
    examples=(
        Example(
            "one goes on, one ended",
            Case(
                {"rewards": np.array([1.0, 2.0]),
                 "next_q_values": np.array([[2.0, 4.0], [100.0, 200.0]]),
                 "next_actions": np.array([0, 1]),
                 "terminated": np.array([False, True]), "gamma": 0.5},
                label="worked by hand",
            ),
            {"targets": ["2", "2"]},
        ),
    ),
    laws=(
        *COMMON_LAWS,
        Law("value-of-the-taken", "the next state is worth what the action taken in it is",
            check_taken),
        Law("others-unread", "the values of other actions do not matter", check_others_unread),
    ),
    gradients=("rewards", "next_q_values", "gamma"),
    known_bugs=(
        *backup_bugs("0 if terminated[n] else", ""),
        KnownBug("H3", "next_actions[n]", "next_actions[n - 1]"),
        KnownBug("Q3", "next_q_values[n, next_actions[n]]", "max(next_q_values[n])"),
    ),
    bad_inputs=refusals("sarsa_target", TAKEN),
    sizes=SIZES,
    sized=sized(TAKEN),
    good=good(TAKEN),
)  # fmt: skip

# --- the policy's mean ---------------------------------------------------------------------------

TERM = "bootstrap = bootstrap + next_probabilities[n, a] * next_q_values[n, a]"
EXPECTED_CONTRACT = Contract(
    name="expected_sarsa_target",
    topic="q_learning",
    summary="target of expected SARSA: reward and the mean value under the policy",
    source="van Seijen et al. 2009, eq. 6; Sutton & Barto 2018, eq. 6.9",
    reference=reference.expected_sarsa_target,
    fast=fast.expected_sarsa_target,
    arguments=arguments(EXPECTED),
    outputs=("targets",),
    inputs=transitions(EXPECTED),
    examples=(
        Example(
            "one goes on, one ended, one action is illegal",
            Case(
                {"rewards": np.array([1.0, 2.0]),
                 "next_q_values": np.array([[2.0, 8.0, np.nan], [100.0, 200.0, 300.0]]),
                 "next_probabilities": np.array([[0.25, 0.75, np.inf], [0.0, 0.0, 0.0]]),
                 "terminated": np.array([False, True]),
                 "legal": np.array([[True, True, False], [True, True, True]]), "gamma": 0.5},
                label="worked by hand",
            ),
            {"targets": ["17/4", "2"]},
        ),
    ),
    laws=(
        *COMMON_LAWS,
        ILLEGAL,
        Law("certain-policy", "certain of one action, the next state is worth what that one is",
            check_certain),
        Law("even-values", "where all actions are worth 3, so is the next state", check_even),
    ),
    gradients=("rewards", "next_q_values", "next_probabilities", "gamma"),
    known_bugs=(
        *backup_bugs(OPEN, "if legal is None or legal[n].any():"),
        KnownBug("H3", "next_probabilities[n, a] *", "next_probabilities[n - 1, a] *"),
        KnownBug("H4a", ACTIONS, ALL),
        KnownBug("Q3", TERM, "bootstrap = bootstrap + next_q_values[n, a] / "
                 "len(_legal_actions(next_probabilities, legal, n))"),
    ),
    bad_inputs=refusals("expected_sarsa_target", EXPECTED),
    sizes=SIZES,
    sized=sized(EXPECTED),
    good=good(EXPECTED),
)  # fmt: skip

CONTRACTS = (
    Q_CONTRACT,
    DOUBLE_CONTRACT,
    SARSA_CONTRACT,
    EXPECTED_CONTRACT,
    LOSS_CONTRACT,
    SOFT_UPDATE_CONTRACT,
)
