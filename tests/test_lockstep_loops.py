"""Loops in lockstep: every stage of twenty updates is right; a wrong one is named and refused."""

import json
import math

import numpy as np
import pytest

from rlverify.cli import main
from rlverify.fast import advantages, ppo_update
from rlverify.instruction import RESULT
from rlverify.training.accompanying import lockstep
from rlverify.training.computation import Fast, one_thread, twin
from rlverify.training.teaching import SMALL, UNJUDGED, Report, Teaching, reported, updates_of

UPDATES = 20
LOOPS = {
    ("reinforce", "CartPole-v1"): {"reinforce_weights", "normalize_advantages", "reinforce_update"},
    ("reinforce", "Pendulum-v1"): {"reinforce_weights", "normalize_advantages", "reinforce_update"},
    ("a2c", "CartPole-v1"): {"gae", "normalize_advantages", "scale_rewards", "a2c_update"},
    ("a2c", "Pendulum-v1"): {"gae", "normalize_advantages", "scale_rewards", "a2c_update"},
    ("trpo", "CartPole-v1"): {"gae", "normalize_advantages", "trpo_update", "value_update"},
    ("trpo", "Pendulum-v1"): {"gae", "normalize_advantages", "trpo_update", "value_update"},
    ("ppo", "CartPole-v1"): {"gae", "scale_rewards", "running_moments_update", "ppo_update"},
    ("ppo", "Pendulum-v1"): {"gae", "scale_rewards", "running_moments_update", "ppo_update"},
    ("grpo", "tokens"): {"group_advantages", "grpo_update"},
    ("dqn", "CartPole-v1"): {"replay_transitions", "dqn_update"},
}  # fmt: skip
STAGES = {
    "reinforce_update": {"gradient", "optimize"},
    "a2c_update": {"evaluate", "gradient", "clip", "optimize"},
    "trpo_update": {"gradient", "direction", "step length", "trial 1", "accept"},
    "value_update": {"evaluate", "gradient", "optimize"},
    "ppo_update": {"normalize", "evaluate", "stop", "gradient", "clip", "optimize"},
    "grpo_update": {"evaluate", "gradient", "clip", "optimize"},
    "dqn_update": {"evaluate", "targets", "gradient", "clip", "optimize"},
}


def made(algorithm, environment, updates, seed=0, given=()):
    with one_thread():
        return [*updates_of(lockstep(algorithm, environment, list(given), seed), updates)]


@pytest.mark.parametrize(("algorithm", "environment"), LOOPS)
def test_every_stage_of_twenty_updates_is_right(algorithm, environment):
    updates = made(algorithm, environment, UPDATES)
    report = reported(updates)
    wrong = [
        f"update {update.number}: {call.function}: {judgement.sentence}"
        for update in updates for call in update.calls
        for judgement in call.lockstep.judgements if not judgement.ok
    ]  # fmt: skip
    assert wrong == []
    assert report.vacuous == {}
    assert report.ok
    assert [update.number for update in updates] == [*range(1, UPDATES + 1)]
    assert 0 < report.worst <= 1
    assert all(math.isfinite(update.apart) for update in updates)
    assert updates[-1].apart > 0
    for update in updates:
        called = {call.function for call in update.calls}
        assert called >= LOOPS[algorithm, environment]
        for call in update.calls:
            names = {j.stage.rpartition(": ")[2] for j in call.lockstep.judgements}
            assert names >= STAGES.get(call.function, set()) | {RESULT}


def test_five_hundred_updates_of_dqn_are_right():
    """Each from the reference's networks, on what both memories held."""
    updates = made("dqn", "CartPole-v1", 500)
    report = reported(updates)
    assert [u.worst[1].sentence for u in updates if not u.ok] == []
    assert report.vacuous == {}
    assert report.ok
    calls = [call.function for update in updates for call in update.calls]
    assert calls.count("dqn_update") == calls.count("replay_transitions") == 500
    assert calls.count("soft_update") == 125
    assert updates[-1].apart > 0


def test_networks_have_two_hidden_layers_of_four_to_sixteen_units():
    for algorithm, environment in LOOPS:
        hidden = lockstep(algorithm, environment, [], 0).settings.hidden
        assert len(hidden) == 2
        assert all(4 <= width <= 16 for width in hidden)
    # tables have no networks
    assert sorted(SMALL) == sorted({algorithm for algorithm, _ in LOOPS} | {"q_learning"})


def test_the_same_seed_gives_the_same_run():
    first, again, other = (made("a2c", "CartPole-v1", 2, seed) for seed in (3, 3, 4))
    stages = [[call.lockstep.stages for update in run for call in update.calls]
              for run in (first, again, other)]  # fmt: skip
    values = [
        np.concatenate([v.ravel() for call in run for s in call for v in s.truth.value.values()])
        for run in stages
    ]
    assert np.array_equal(values[0], values[1], equal_nan=True)
    assert not np.array_equal(values[0], values[2], equal_nan=True)


def test_steps_that_run_out_end_a_run():
    assert len(made("a2c", "CartPole-v1", 5, given=["steps=70"])) == 2


# what goes wrong


def doubled(function):
    def wrong(*arguments, **knobs):
        found = function(*arguments, **knobs)
        return found._replace(advantages=2 * found.advantages)

    return wrong


def test_a_wrong_estimator_is_named(monkeypatch):
    monkeypatch.setattr(advantages, "gae", doubled(advantages.gae))
    updates = made("ppo", "CartPole-v1", 2)
    for update in updates:
        assert {c.function for c in update.calls if not c.lockstep.ok} == {"gae"}
        call, judgement = update.worst
        assert (call.function, judgement.stage, judgement.grade) == ("gae", RESULT, "WRONG")
    assert not reported(updates).ok


def test_a_wrong_stage_is_named_and_the_reference_goes_on(monkeypatch):
    right = made("ppo", "CartPole-v1", 2)
    adam = ppo_update.adam

    def longer(*arrays, learning_rate, **knobs):
        return adam(*arrays, learning_rate=1.125 * learning_rate, **knobs)

    monkeypatch.setattr(ppo_update, "adam", longer)
    wrong = made("ppo", "CartPole-v1", 2)
    named = {j.stage for u in wrong for c in u.calls for j in c.lockstep.judgements if not j.ok}
    assert {stage.rpartition(": ")[2] for stage in named} == {"optimize"}
    # teacher forcing: what the reference does is what it did before
    for before, after in zip(right, wrong, strict=True):
        for one, other in zip(before.calls, after.calls, strict=True):
            for a, b in zip(one.lockstep.stages, other.lockstep.stages, strict=True):
                assert a.handed.keys() == b.handed.keys()
                assert all(np.array_equal(a.handed[k], b.handed[k]) for k in a.handed)
    # and the fast version on its own goes another way, further with every update
    assert max(update.apart for update in right) < wrong[0].apart < wrong[1].apart


def test_a_run_without_updates_is_not_right():
    assert not Report((), {}).ok


def test_bounds_that_reject_nothing_are_told():
    updates = made("a2c", "CartPole-v1", 1)
    assert not Report(tuple(updates), {"gae, result: advantages": ["zeros"]}).ok


# the backend


def test_the_reference_answers_and_the_fast_version_goes_its_own_way():
    teaching, rng = Teaching(), np.random.default_rng(0)
    knobs = {"critic_sizes": (2, 4, 1), "activation": "tanh", "minibatch_size": 2, "beta1": 0.9,
             "beta2": 0.99, "eps": 1e-5, "learning_rate": 0.125}  # fmt: skip
    state = {"critic_parameters": rng.normal(size=17), "first": np.zeros(17),
             "second": np.zeros(17), "count": 0}  # fmt: skip
    alone = dict(state)
    for number in (1, 2, 3):
        batch = {"inputs": rng.normal(size=(4, 2)), "returns": rng.normal(size=4),
                 "permutations": np.stack([rng.permutation(4)])}  # fmt: skip
        answer = teaching("value_update", **batch, **state, **knobs)
        wanted = twin("reference", "value_update")(**batch, **state, **knobs)
        assert all(np.array_equal(a, b) for a, b in zip(answer, wanted, strict=True))
        own = Fast()("value_update", **batch, **alone, **knobs)
        update = teaching.taken(number)
        assert update.apart == np.abs(own.parameters - wanted.parameters).max()
        assert update.ok
        for kept, result in ((state, answer), (alone, own)):
            kept.update(critic_parameters=result.parameters, first=result.first,
                        second=result.second, count=int(result.count))  # fmt: skip


def test_what_has_many_right_answers_is_answered_and_not_judged():
    teaching = Teaching()
    for function in UNJUDGED:
        normals = np.random.default_rng(0).normal(size=(3, 2))
        assert teaching(function, normals=normals, gain=1.0).shape == (3, 2)
    assert teaching.calls == []


# the command


def test_the_command_prints_a_line_an_update(capsys, tmp_path):
    file = tmp_path / "found.json"
    status = main(["train", "a2c", "CartPole-v1", "--lockstep", "2", "--json", str(file)])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert status == 0
    assert lines[0].split() == [
        "update",
        "stages",
        "worst",
        "stage",
        "grade",
        "error",
        "at",
        "apart",
    ]
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert lines[-1].startswith("RIGHT  a2c on CartPole-v1, seed 0: ")
    assert printed.err.splitlines() == ["1/2 update 1: ok", "2/2 update 2: ok"]
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told["ok"]
    assert told["vacuous"] == {}
    assert [update["update"] for update in told["results"]] == [1, 2]
    stages = [stage["stage"] for stage in told["results"][0]["stages"]]
    assert "a2c_update, optimize" in stages
    assert "gae" in stages


def test_the_command_fails_where_a_stage_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(advantages, "gae", doubled(advantages.gae))
    assert main(["train", "a2c", "CartPole-v1", "--lockstep", "1"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG  a2c on CartPole-v1, seed 0: " in printed
    assert "update 1: gae: result is wrong: worst error " in printed


def test_the_command_refuses_what_it_cannot_run(capsys):
    assert main(["train", "ppo", "tokens", "--lockstep", "1"]) == 2
    assert "tokens is not for ppo" in capsys.readouterr().err
    for option in (["--resume"], ["--target", "3"], ["--steps", "100"], ["--out", "folder"]):
        assert main(["train", "ppo", "CartPole-v1", "--lockstep", "1", *option]) == 2
        assert f"{option[0]}: it is about training" in capsys.readouterr().err
