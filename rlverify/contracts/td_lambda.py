"""The contract of the topic `td_lambda`."""

import numpy as np

from rlverify.contract import Case, Contract, Convention, Equivalent, Example, KnownBug
from rlverify.contracts import _td_cases as cases
from rlverify.contracts import _td_laws as laws
from rlverify.contracts._recordings import open_ended, start_flags
from rlverify.fast import td_lambda as fast
from rlverify.inputs import cut_of
from rlverify.reference import td_lambda as reference

BOOTSTRAP = "0 if terminated[t, b] else values[next_states[t, b]]"
ENDS = "if terminated[t, b] or truncated[t, b]:"
FADES = "discount[t, b] * lam * trace[s]"
OUTGOING = "(0 if terminated[min(t + 1, steps - 1), b] else discount[min(t + 1, steps - 1), b])"


def worked(**changes: object) -> Case:
    """Return two steps that go from state 0 to 1 and back, and a third after a termination."""
    arguments = {
        "states": np.array([[0], [1], [0]]),
        "rewards": np.array([[1.0], [2.0], [4.0]]),
        "next_states": np.array([[1], [0], [1]]),
        "terminated": np.array([[False], [True], [False]]),
        "truncated": np.zeros((3, 1), dtype=bool),
        "initial_values": np.array([2.0, 4.0]),
        "gamma": 0.5,
        "lam": 0.5,
        "step_size": 0.5,
        "online": True,
        "traces": "accumulating",
        **changes,
    }
    return Case(arguments, label="worked by hand")


def faded_before(
    states: np.ndarray,
    rewards: np.ndarray,
    next_states: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    initial_values: np.ndarray,
    *,
    gamma: float | np.ndarray,
    lam: float,
    step_size: float,
    online: bool,
    traces: str,
) -> np.ndarray:
    """Fade all traces before a visit, with the discount of the step that led there."""
    discount = np.broadcast_to(np.asarray(gamma, dtype=float), rewards.shape)
    begins = np.roll(cut_of(terminated, truncated), 1, axis=0)
    table = np.repeat(initial_values[:, None], rewards.shape[1], axis=1)
    start, eligible = table.copy(), np.zeros_like(table)
    columns = np.arange(rewards.shape[1])
    for t in range(len(rewards)):
        eligible = np.where(begins[t], 0, discount[t - 1] * lam * eligible)
        known = table if online else start
        after = np.where(terminated[t], 0, known[next_states[t], columns])
        errors = rewards[t] + discount[t] * after - known[states[t], columns]
        visits = np.zeros_like(table)
        visits[states[t], columns] = 1
        kept = eligible if traces == "accumulating" else eligible * (1 - visits)
        eligible = kept + visits
        table = table + step_size * errors * eligible
    return table


TD_LAMBDA_CONTRACT = Contract(
    name="td_lambda",
    topic="td_lambda",
    summary="a table of values, learnt with eligibility traces",
    source="Sutton 1988; Sutton and Barto 2018, eq. 12.5, 12.6 and 12.7",
    reference=reference.td_lambda,
    fast=fast.td_lambda,
    arguments=cases.ARGUMENTS,
    outputs=("values",),
    axes=("S B",),
    inputs=cases.walks(),
    examples=(
        # errors 1, −2 and then, from 9/4 and 3, 4 + 3/2 − 9/4
        Example("online", worked(), {"values": [["31/8"], ["3"]]}),
        # errors 1, −2 and 4
        Example("offline", worked(online=False), {"values": [["17/4"], ["3"]]}),
        Example(
            "met twice, traces replaced",
            # errors 1, 2 and 4
            worked(
                states=np.array([[0], [0], [0]]),
                rewards=np.array([[1.0], [4.0], [4.0]]),
                traces="replacing",
                online=False,
            ),
            {"values": [["11/2"], ["4"]]},
        ),
    ),
    laws=laws.LAWS,
    gradients=(),
    known_bugs=(
        KnownBug("A4", BOOTSTRAP, "values[next_states[t, b]]"),
        KnownBug("A10", "rewards[t, b] + discount",
                 "(rewards[t - 1, b] if t else 0) + discount"),
        KnownBug("A24", "0 if terminated[t, b] else",
                 "0 if terminated[t, b] or (truncated[t, b] and np.ndim(gamma) > 0) else"),
        KnownBug("B1", "0 if terminated[t, b] else",
                 "0 if terminated[t, b] or truncated[t, b] else"),
        KnownBug("B5", "0 if terminated[t, b] else",
                 "0 if terminated[t, b] and not truncated[t, b] else"),
        KnownBug("C14", "return tables", "return tables.reshape(batch, -1).T"),
        KnownBug("A19", "return tables", "return tables.squeeze()"),
        KnownBug("G14", FADES, FADES.replace("discount[t, b]", OUTGOING)),
        KnownBug("G15a", ENDS, "if False:"),
        KnownBug("G15b", ENDS, "if terminated[t, b]:"),
    ),
    conventions=(
        Convention(
            "done", "start", "flags say whether the state before the step began a new episode",
            inputs=start_flags, nearest=open_ended,
        ),
    ),
    equivalents=(
        Equivalent(
            "traces fade before a visit",
            "z ← γλz, then 1 more at the state: with the discount of the step before",
            faded_before,
        ),
    ),
    bad_inputs=cases.refusals(),
    sizes=cases.SIZES,
    sized=cases.sized,
    good=cases.good(),
    long_cases=(cases.sized((512, 1), lam=1.0), cases.sized((512, 1), online=False)),
)  # fmt: skip

CONTRACTS = (TD_LAMBDA_CONTRACT,)
