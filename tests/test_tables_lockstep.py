"""Tables in lockstep: every update of the four problems, and of every rule, is right."""

import math

import numpy as np
import pytest

from rlverify.fast import tabular_q
from rlverify.training.accompanying import lockstep
from rlverify.training.computation import one_thread
from rlverify.training.configuration import RULES
from rlverify.training.teaching import Update, reported, updates_of

# updates of 8 transitions each; the reference of a table of 500 rows takes its time
PROBLEMS = {"FrozenLake-v1": 60, "CliffWalking": 60, "Taxi": 20, "CartPole-v1": 60}
TARGETS = {
    "q_learning": set[str](),
    "sarsa": {"sarsa_target"},
    "expected_sarsa": {"expected_sarsa_target"},
    "double_q": {"double_q_target"},
}


def made(environment: str, updates: int, *given: str) -> list[Update]:
    task = lockstep("q_learning", environment, list(given), 0)
    with one_thread():
        return [*updates_of(task, updates, task.settings.dtype)]


def assert_right(updates: list[Update], many: int) -> None:
    wrong = [
        f"update {update.number}: {call.function}: {judgement.sentence}"
        for update in updates for call in update.calls
        for judgement in call.lockstep.judgements if not judgement.ok
    ]  # fmt: skip
    assert wrong == []
    report = reported(updates)
    assert report.vacuous == {}
    assert report.ok
    assert 0 < report.worst <= 1
    assert [update.number for update in updates] == [*range(1, many + 1)]
    assert all(math.isfinite(update.apart) for update in updates)


def called(updates: list[Update]) -> set[str]:
    return {call.function for update in updates for call in update.calls}


@pytest.mark.parametrize("environment", PROBLEMS)
def test_every_update_is_right(environment: str):
    many = PROBLEMS[environment]
    updates = made(environment, many)
    assert_right(updates, many)
    grid = {"discretize"} if environment == "CartPole-v1" else set[str]()
    wanted = {"tabular_q_update", "epsilon_greedy_probabilities", "linear_schedule", *grid}
    for update in updates:
        assert {call.function for call in update.calls} == wanted


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_right(rule: str):
    updates = made("CliffWalking", 20, f"rule={rule}", "horizon=4")
    assert_right(updates, 20)
    assert called(updates) >= TARGETS[rule]
    for update in updates:
        steps = [call for call in update.calls if call.function == "tabular_q_update"]
        assert len(steps) == (1 if rule == "q_learning" else 4)


def test_single_precision_is_right_within_its_own_bounds():
    double, single = (made("CartPole-v1", 15, f"dtype={d}") for d in ("float64", "float32"))
    for updates in (double, single):
        assert_right(updates, 15)
    assert single[-1].apart > double[-1].apart


def test_a_wrong_update_is_named_and_the_reference_goes_on(monkeypatch: pytest.MonkeyPatch):
    right, update = made("CliffWalking", 3), tabular_q.tabular_q_update

    def slower(*arrays: object, step_size: float, **knobs: object) -> object:
        return update(*arrays, step_size=0.875 * step_size, **knobs)

    monkeypatch.setattr(tabular_q, "tabular_q_update", slower)
    wrong = made("CliffWalking", 3)
    assert not reported(wrong).ok
    for before, after in zip(right, wrong, strict=True):
        assert {c.function for c in after.calls if not c.lockstep.ok} == {"tabular_q_update"}
        for one, other in zip(before.calls, after.calls, strict=True):
            for a, b in zip(one.lockstep.stages, other.lockstep.stages, strict=True):
                assert all(np.array_equal(a.handed[k], b.handed[k]) for k in a.handed)
    # and the fast version on its own goes another way
    assert max(update.apart for update in right) < min(update.apart for update in wrong)
