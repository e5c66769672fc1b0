"""Contracts of advantages of groups: `group_advantages` and `leave_one_out_advantages`.

They belong to the topic `grpo`; they stand here so that each file fits a sitting.
"""

from typing import Any

import numpy as np

from rlverify.contract import (
    Argument,
    BadInput,
    Case,
    Contract,
    Convention,
    Equivalent,
    Example,
    KnownBug,
)
from rlverify.contracts._grpo_cases import GROUP_SIZES, grouped, sized_groups
from rlverify.contracts._grpo_laws import GROUP_LAWS, LEAVE_ONE_OUT_LAWS
from rlverify.contracts._refusals import bad, bad_floats
from rlverify.fast import grpo as fast
from rlverify.reference import grpo as reference


def bad_groups(function: str) -> tuple[BadInput, ...]:
    """Return the refusals of rewards [N] and their groups."""
    return (
        *bad_floats(function, "rewards", "[N]"),
        bad(function, "rewards", "groups as rows", lambda x: x.reshape(2, 3), ValueError,
            "rewards came with shape (2, 3), wanted [N]."),
        bad(function, "rewards", "empty", lambda x: x[:0], ValueError,
            "rewards came with shape (0,), wanted at least one element."),
        bad(function, "group_ids", "numbers", lambda x: x * 1.0, TypeError,
            "group_ids came as dtype float64, wanted int64."),
        bad(function, "group_ids", "one too few", lambda x: x[1:], ValueError,
            "group_ids has shape (5,), but rewards has shape (6,); they must agree."),
        bad(function, "group_ids", "negative", lambda x: x - 1, ValueError,
            "group_ids came with -1 in it, wanted integers of at least 0."),
    )  # fmt: skip


GOOD_GROUPS: dict[str, Any] = {
    "rewards": np.arange(6.0),
    "group_ids": np.array([0, 1, 0, 1, 1, 0]),
}
SCALED = {"scale": "group", "ddof": 0, "eps": 2.0}
SAME_GROUP = "if group_ids[j] == group_ids[i]]"
BETWEEN = "if all(group_ids[k] == group_ids[i] for k in range(min(i, j), max(i, j)))]"
SPREAD = 'spread = group if scale == "group" else list(range(samples))'
GROUPING_BUGS = (
    KnownBug("K15a", SAME_GROUP, "]"),
    KnownBug("K15b", SAME_GROUP, BETWEEN),
    KnownBug("K15c", SAME_GROUP, "if group_ids[j] <= group_ids[i]]"),
)

GROUP_CONTRACT = Contract(
    name="group_advantages",
    topic="grpo",
    summary="rewards relative to the mean of their group, over a deviation",
    source="Shao et al. 2024, arXiv:2402.03300, section 4.1.2",
    reference=reference.group_advantages,
    fast=fast.group_advantages,
    arguments=(
        Argument("rewards", "float", "N"),
        Argument("group_ids", "integer", "N"),
        Argument("scale", "choice"),
        Argument("ddof", "count"),
        Argument("eps", "number"),
    ),
    outputs=("advantages",),
    inputs=grouped(single=True),
    examples=tuple(
        Example(
            name,
            Case({"rewards": np.array([4.0, 0.0, 8.0, 0.0]), "group_ids": np.array([1, 0, 1, 0]),
                  "scale": scale, "ddof": 0, "eps": 2.0}, "plain", "worked by hand"),
            {"advantages": answer},
        )
        for name, scale, answer in (
            ("deviation 2 of one group, 0 of the other", "group", ["-1/2", "0", "1/2", "0"]),
            ("not divided", "none", ["-2", "0", "2", "0"]),
        )
    ),
    laws=GROUP_LAWS,
    gradients=(),
    known_bugs=(
        *GROUPING_BUGS,
        KnownBug("E9", "if all(rewards[j] == rewards[i] for j in group):", "if False:"),
        KnownBug("E10", "/ (_deviation(rewards[spread], ddof) + eps)",
                 "/ _deviation(rewards[spread], ddof)"),
        KnownBug(
            "E15", "return advantages",
            "mean = sum(advantages) / samples\n"
            "    total = np.sqrt(sum((x - mean) ** 2 for x in advantages) / samples)\n"
            "    for i in range(samples):\n"
            "        advantages[i] = (advantages[i] - mean) / (total + eps)\n"
            "    return advantages",
        ),
        KnownBug("K10", "samples = len(rewards)\n",
                 "samples = len(rewards)\n"
                 "    rewards = np.where(rewards != rewards, 0, rewards)\n"),
        KnownBug("K11a", SPREAD, SPREAD.replace('"group"', '"batch"')),
        KnownBug("K11b", 'if scale != "none":\n            spread', "if True:\n            spread"),
    ),
    conventions=(
        Convention(
            "eps", "inside-the-root", "divides by √(variance + ε)",
            edits=(("(_deviation(rewards[spread], ddof) + eps)",
                    "np.sqrt(_deviation(rewards[spread], ddof) ** 2 + eps)"),),
        ),
        Convention(
            "eps", "clamp", "divides by the deviation, or by ε where that is larger",
            edits=(("(_deviation(rewards[spread], ddof) + eps)",
                    "max(_deviation(rewards[spread], ddof), eps)"),),
        ),
        Convention(
            "alone", "reward", "alone in a group: mean 0 and deviation 1, the reward itself (verl)",
            edits=(("        if all(rewards[j] == rewards[i] for j in group):",
                    "        if len(group) == 1:\n"
                    "            advantages[i] = rewards[i]\n"
                    '            if scale != "none":\n'
                    "                advantages[i] = rewards[i] / (1 + eps)\n"
                    "            continue\n"
                    "        if all(rewards[j] == rewards[i] for j in group):"),),
        ),
    ),
    bad_inputs=(
        *bad_groups("group_advantages"),
        bad("group_advantages", "scale", "a bool", lambda _: True, ValueError,
            "scale came as True, wanted one of group, batch, none."),
        bad("group_advantages", "ddof", "a float", lambda _: 1.0, TypeError,
            "ddof came as float, wanted an integer."),
        bad("group_advantages", "ddof", "no degree of freedom left", lambda _: 3, ValueError,
            "3 real element(s) with ddof=3 leave no degree of freedom, wanted more than 3; pass "
            "ddof=0 or normalise over a larger batch."),
        bad("group_advantages", "eps", "zero", lambda _: 0.0, ValueError,
            "eps came as 0.0, wanted a finite number above 0."),
    ),
    exact=False,
    sizes=GROUP_SIZES,
    sized=sized_groups(SCALED),
    good=Case({**GOOD_GROUPS, **SCALED}, "plain", "good"),
)  # fmt: skip


def centred_rewards(rewards: np.ndarray, group_ids: np.ndarray) -> np.ndarray:
    """Scale what is centred: n/(n − 1) (r − mean)."""
    same = group_ids[:, None] == group_ids
    counts = same.sum(axis=1)
    return np.asarray((rewards - (same @ rewards) / counts) * counts / (counts - 1))


OTHERS = "(total - rewards[i]) / (len(group) - 1)"

LEAVE_ONE_OUT_CONTRACT = Contract(
    name="leave_one_out_advantages",
    topic="grpo",
    summary="rewards relative to the mean of the others in their group",
    source="Kool et al. 2019; Ahmadian et al. 2024, arXiv:2402.14740, eq. 7",
    reference=reference.leave_one_out_advantages,
    fast=fast.leave_one_out_advantages,
    arguments=(Argument("rewards", "float", "N"), Argument("group_ids", "integer", "N")),
    outputs=("advantages",),
    inputs=grouped(single=False),
    examples=(
        Example(
            "three and two, mixed",
            Case({"rewards": np.array([1.0, 5.0, 2.0, 6.0, 4.0]),
                  "group_ids": np.array([3, 0, 3, 3, 0])}, "plain", "worked by hand"),
            {"advantages": ["-3", "1", "-3/2", "9/2", "-1"]},
        ),
    ),
    laws=LEAVE_ONE_OUT_LAWS,
    gradients=(),
    known_bugs=(
        *GROUPING_BUGS,
        KnownBug("E13", OTHERS, "(total - rewards[i]) / len(group)"),
        KnownBug("L2a", OTHERS, "total / len(group)"),
        KnownBug("L2b", OTHERS, "total / (len(group) - 1)"),
        KnownBug("L9", OTHERS, "(total - rewards[i])"),
    ),
    equivalents=(
        Equivalent("n/(n-1) centred", "n/(n − 1) (r − mean) is the same", centred_rewards),
    ),
    bad_inputs=(
        *bad_groups("leave_one_out_advantages"),
        bad("leave_one_out_advantages", "group_ids", "alone",
            lambda x: np.array([0, 1, 0, 1, 2, 0]), ValueError, "group 2 came with one element, "
            "wanted at least two, so that each has others; take more samples."),
    ),
    sizes=GROUP_SIZES,
    sized=sized_groups({}),
    good=Case(GOOD_GROUPS, "plain", "good"),
)  # fmt: skip
