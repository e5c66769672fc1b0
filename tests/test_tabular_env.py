"""Finite MDPs as Gymnasium environments, single and vector; no test rests on chance.

Random numbers come either from a seed that both sides share, or from a script.
"""

import re
import subprocess
import sys
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from rlverify.tabular_envs import registration
from rlverify.tabular_envs.environments import chain, cliff, corridor, grid
from rlverify.tabular_envs.finite_mdp import FiniteMDP
from rlverify.tabular_envs.garnet import garnet
from rlverify.tabular_envs.tabular_env import TabularEnv, TabularVectorEnv

NEXT, SAME, OFF = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
registration.register_environments()


class Script:
    """Stands in for a generator: hands out the uniforms it was given, in order."""

    def __init__(self, uniforms):
        self.uniforms = list(uniforms)

    def random(self, size=None):
        taken = [self.uniforms.pop(0) for _ in range(1 if size is None else size)]
        return taken[0] if size is None else np.array(taken)


def single_steps(env, actions, seed):
    """Rows (state, reward, terminated, truncated, reset state or None), reset as needed."""
    first, _ = env.reset(seed=seed)
    rows = []
    for action in actions:
        state, reward, terminated, truncated, _ = env.step(action)
        ended = terminated or truncated
        again = env.reset()[0] if ended else None
        rows.append((state, reward, terminated, truncated, again))
    return first, rows


# single


@pytest.mark.parametrize("env_id", registration.ENVIRONMENTS)
def test_gymnasium_accepts_it(env_id):
    check_env(gymnasium.make(env_id).unwrapped)


def test_gymnasium_accepts_one_without_an_id():
    # without an id there is nothing to make again in other render modes
    check_env(TabularEnv(garnet(4, 2, 2, seed=0)), skip_render_check=True)


def test_types_are_those_of_the_interface():
    env = TabularEnv(corridor(3), max_episode_steps=2)
    state, info = env.reset(seed=1)
    assert (state, info) == (0, {})
    state, reward, terminated, truncated, info = env.step(1)
    assert (state, reward, terminated, truncated, info) == (1, -1.0, False, False, {})
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
    assert state in env.observation_space


def test_time_limit_truncates_at_its_step_and_may_meet_an_end():
    _, rows = single_steps(TabularEnv(corridor(5), max_episode_steps=3), [0, 1, 1, 1], seed=0)
    assert rows == [
        (0, -1, False, False, None),
        (1, -1, False, False, None),
        (2, -1, False, True, 0),
        (1, -1, False, False, None),
    ]
    _, rows = single_steps(TabularEnv(corridor(2), max_episode_steps=2), [1, 1], seed=0)
    assert rows[-1] == (2, -1, True, True, 0)
    # the same through Gymnasium's own wrapper
    env = gymnasium.make("rlverify/Corridor-v0", length=2, max_episode_steps=2)
    assert single_steps(env, [1, 1], seed=0)[1] == rows


@given(
    seed=st.integers(0, 2**32), env_seed=st.integers(0, 2**32), ending=st.sampled_from([0.0, 0.5])
)
@settings(max_examples=50, deadline=None)
def test_seeded_episodes_repeat_and_obey_the_process(seed, env_seed, ending):
    mdp = garnet(5, 2, 3, seed=seed, ending=ending)
    actions = np.random.default_rng(seed).integers(2, size=40)
    env = TabularEnv(mdp, max_episode_steps=7)
    first, rows = single_steps(env, actions, env_seed)
    assert single_steps(env, actions, env_seed) == (first, rows)
    assert single_steps(TabularEnv(mdp, max_episode_steps=7), actions, env_seed) == (first, rows)
    state, steps = first, 0
    for action, (after, reward, terminated, truncated, again) in zip(actions, rows, strict=True):
        steps += 1
        assert mdp.transition[state, action, after] > 0
        assert reward == mdp.reward[state, action, after]
        assert terminated == mdp.terminal[state, action, after]
        assert truncated == (steps == 7)
        state, steps = (after, steps) if again is None else (again, 0)


def test_equal_uniforms_give_exact_frequencies():
    # 16 evenly spaced uniforms split by probabilities in sixteenths: no chance is involved
    mdp = grid(3, 3, 0.25)
    uniforms = (np.arange(16) + 0.5) / 16
    for state in range(mdp.states):
        for action in range(mdp.actions):
            env = TabularVectorEnv(replace(mdp, start=np.eye(mdp.states)[state]), 16)
            assert (env.reset(seed=0)[0] == state).all()
            env.np_random = Script(uniforms)
            after = env.step(np.full(16, action))[0]
            counts = np.bincount(after, minlength=mdp.states)
            assert (counts / 16 == mdp.transition[state, action]).all()


@given(
    weights=st.lists(st.sampled_from([0.0, 1.0, 3.0, 0.1]), min_size=1, max_size=12).filter(any),
    uniform=st.sampled_from([0.0, 0.5, np.nextafter(1, 0)]) | st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=200, deadline=None)
def test_impossible_states_are_never_entered(weights, uniform):
    # ten times 0.1 adds up to less than 1, so the last uniforms lie beyond the rounded sum
    states = len(weights)
    row = np.array(weights) / sum(weights)
    tables = np.tile(row, (states, 1, 1))
    mdp = FiniteMDP(tables, tables, tables > 2, row)
    env = TabularEnv(mdp)
    env.np_random = Script([uniform, uniform])
    first, _ = env.reset()
    after = env.step(0)[0]
    assert row[first] > 0
    assert row[after] > 0
    # the smallest state whose cumulative probability exceeds u, up to the sum's rounding
    below = sum(row[:after])
    assert below <= uniform
    possible_later = row[after + 1 :].any()
    assert uniform < np.cumsum(row)[after] or not possible_later


def test_single_refusals():
    env = TabularEnv(chain(2))
    with pytest.raises(ResetNeeded, match=r"^TabularEnv\.step: no episode is running; call reset"):
        env.step(0)
    env.reset(seed=0)
    for action in (2, -1, 0.5):
        with pytest.raises(InvalidAction, match=rf"action came as {action}, wanted an integer"):
            env.step(action)
    env.step(1)
    assert env.step(1)[2]
    with pytest.raises(ResetNeeded):
        env.step(1)
    with pytest.raises(TypeError, match=r"^TabularEnv: mdp came as str, wanted a FiniteMDP\."):
        TabularEnv("chain")
    with pytest.raises(
        ValueError, match=r"^TabularEnv: max_episode_steps came as 0, wanted an .*1\."
    ):
        TabularEnv(chain(2), max_episode_steps=0)


# vector


@given(seed=st.integers(0, 2**32), env_seed=st.integers(0, 2**32), limit=st.integers(1, 9))
@settings(max_examples=50, deadline=None)
@pytest.mark.parametrize("mode", [NEXT, SAME, OFF])
def test_one_column_is_a_single_environment(mode, seed, env_seed, limit):
    mdp = garnet(5, 2, 3, seed=seed, ending=0.25)
    actions = np.random.default_rng(seed).integers(2, size=30)
    env = TabularEnv(mdp, max_episode_steps=limit)
    first, rows = single_steps(env, actions, env_seed)
    vector = TabularVectorEnv(mdp, 1, max_episode_steps=limit, autoreset_mode=mode)
    assert vector.reset(seed=env_seed)[0].tolist() == [first]
    for action, (after, reward, terminated, truncated, again) in zip(actions, rows, strict=True):
        state, rewards, terminations, truncations, info = vector.step(np.array([action]))
        assert (rewards, terminations, truncations) == (reward, terminated, truncated)
        if again is None:
            assert state == after
            assert info == {}
        elif mode == SAME:
            assert state == again
            assert info["final_obs"].tolist() == [after]
            assert info["_final_obs"].tolist() == [True]
        else:
            assert state == after
            assert info == {}
            if mode == NEXT:
                # the action is ignored, and nothing happens but the reset
                row = vector.step(np.array([action]))
            else:
                row = vector.reset(options={"reset_mask": np.array([True])})[0], 0, False, False, {}
            assert (row[0], row[1], row[2], row[3], row[4]) == (again, 0, False, False, {})


@given(seed=st.integers(0, 2**32), env_seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("mode", [NEXT, SAME])
def test_columns_do_not_mix(mode, seed, env_seed):
    columns, steps = 4, 20
    mdp = garnet(5, 2, 3, seed=seed, ending=0.25)
    generator = np.random.default_rng(env_seed)
    actions = generator.integers(2, size=(steps, columns))
    uniforms = generator.random((2 * steps + 1, columns))
    make = {"max_episode_steps": 4, "autoreset_mode": mode}
    together = TabularVectorEnv(mdp, columns, **make)
    together.np_random = Script(uniforms.ravel())
    rows = [together.reset()[0]]
    resets = []  # same step: how many extra draws each step took
    for a in actions:
        left = len(together.np_random.uniforms)
        state, rewards, terminated, truncated, info = together.step(a)
        resets.append((left - len(together.np_random.uniforms)) // columns - 1)
        final = info.get("final_obs", np.full(columns, None))
        rows.append(np.stack([state, rewards, terminated, truncated, final]))
    for b in range(columns):
        alone = TabularVectorEnv(mdp, 1, **make)
        draws = iter(uniforms[:, b])
        alone.np_random = Script([next(draws)])
        assert alone.reset()[0] == rows[0][b]
        for a, extra, row in zip(actions[:, b], resets, rows[1:], strict=True):
            alone.np_random = Script([next(draws) for _ in range(1 + extra)])
            state, rewards, terminated, truncated, info = alone.step(np.array([a]))
            final = info["final_obs"][0] if "final_obs" in info else None
            got = [state[0], rewards[0], terminated[0], truncated[0], final]
            assert got == row[:, b].tolist()


@pytest.mark.parametrize("mode", [NEXT, SAME])
@pytest.mark.parametrize("env_id", ["rlverify/Cliff-v0", "rlverify/Corridor-v0"])
def test_native_vector_equals_gymnasiums_own(env_id, mode):
    # deterministic processes, so that seeding differences cannot matter
    limit = 6
    native = gymnasium.make_vec(
        env_id, num_envs=5, max_episode_steps=limit, autoreset_mode=mode.value
    )
    other = gymnasium.make_vec(
        env_id,
        num_envs=5,
        max_episode_steps=limit,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
    )
    assert isinstance(native.unwrapped, TabularVectorEnv)
    assert not isinstance(other.unwrapped, TabularVectorEnv)
    assert native.metadata["autoreset_mode"] == other.metadata["autoreset_mode"] == mode
    for space in ("observation_space", "single_observation_space", "action_space"):
        assert getattr(native, space) == getattr(other, space)
    assert native.reset(seed=0)[0].tolist() == other.reset(seed=0)[0].tolist()
    generator = np.random.default_rng(0)
    for _ in range(40):
        actions = generator.integers(native.single_action_space.n, size=5)
        ours, theirs = native.step(actions), other.step(actions)
        for one, two in zip(ours[:4], theirs[:4], strict=True):
            assert one.tolist() == two.tolist()
            assert one.dtype == two.dtype
        assert set(ours[4]) == set(theirs[4])
        for key, one in ours[4].items():
            same = one == theirs[4][key] if isinstance(one, dict) else (one == theirs[4][key]).all()
            assert same, key
        assert ours[0] in native.observation_space
    native.close()
    other.close()


def test_next_step_reset_is_no_step_of_the_next_episode():
    env = TabularVectorEnv(corridor(3), 1, max_episode_steps=2)
    env.reset(seed=0)
    flags = [env.step(np.array([0]))[3].item() for _ in range(6)]
    assert flags == [False, True, False, False, True, False]


def test_returned_arrays_are_the_callers_own():
    env = TabularVectorEnv(corridor(3), 2)
    first, _ = env.reset(seed=0)
    first[:] = 2
    after, _, terminated, truncated, _ = env.step(np.array([1, 1]))
    assert after.tolist() == [1, 1]
    after[:], terminated[:], truncated[:] = 0, True, True
    assert env.step(np.array([1, 1]))[0].tolist() == [2, 2]


def test_reset_mask_resets_the_others_not():
    env = TabularVectorEnv(corridor(4), 3, max_episode_steps=3, autoreset_mode=OFF)
    env.reset(seed=0)
    for _ in range(2):
        env.step(np.ones(3, dtype=np.int64))
    states, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    assert states.tolist() == [2, 0, 2]
    *_, truncated, _ = env.step(np.ones(3, dtype=np.int64))
    assert truncated.tolist() == [True, False, True]
    with pytest.raises(ResetNeeded, match=r"^TabularVectorEnv\.step: a column has no episode"):
        env.step(np.ones(3, dtype=np.int64))
    states, _ = env.reset(options={"reset_mask": truncated})
    assert states.tolist() == [0, 1, 0]
    assert env.step(np.ones(3, dtype=np.int64))[0].tolist() == [1, 2, 1]


def test_vector_refusals():
    env = TabularVectorEnv(chain(2), 2)
    with pytest.raises(ResetNeeded):
        env.step(np.array([0, 0]))
    env.reset(seed=0)
    for actions in (np.array([0, 2]), np.array([0]), np.array([[0, 0]]), np.array([-1, 0])):
        with pytest.raises(InvalidAction, match="wanted 2 integers from 0 to 1"):
            env.step(actions)
    with pytest.raises(InvalidAction, match="wanted 2 integers"):
        env.step(np.array([0.5, 0.0]))
    message = "TabularVectorEnv.reset: reset_mask came as [False False], wanted a flag for each"
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        env.reset(options={"reset_mask": np.zeros(2, dtype=bool)})
    with pytest.raises(ValueError, match="wanted a flag for each of 2 columns"):
        env.reset(options={"reset_mask": np.ones(3, dtype=bool)})
    with pytest.raises(TypeError, match="reset_mask came as dtype int64, wanted bool"):
        env.reset(options={"reset_mask": np.ones(2, dtype=np.int64)})
    with pytest.raises(ValueError, match=r"^TabularVectorEnv: autoreset_mode .* wanted one of"):
        TabularVectorEnv(chain(2), 2, autoreset_mode="Never")
    with pytest.raises(ValueError, match=r"^TabularVectorEnv: num_envs came as 0, wanted"):
        TabularVectorEnv(chain(2), 0)


def test_the_class_keeps_its_own_autoreset_mode():
    TabularVectorEnv(chain(2), 1, autoreset_mode=SAME)
    assert TabularVectorEnv.metadata["autoreset_mode"] == NEXT
    assert TabularVectorEnv(chain(2), 1).metadata["autoreset_mode"] == NEXT


def test_gymnasiums_vector_wrappers_work_on_it():
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        gymnasium.make_vec("rlverify/Corridor-v0", num_envs=2, length=3)
    )
    env.reset(seed=0)
    for _ in range(3):
        *_, terminated, _, info = env.step(np.array([1, 0]))
    assert terminated.tolist() == [True, False]
    assert info["episode"]["r"].tolist() == [-3, 0]


# registration


def test_registering_again_changes_nothing():
    before = dict(gymnasium.registry)
    registration.register_environments()
    assert gymnasium.registry == before
    assert all(gymnasium.registry[env_id] is before[env_id] for env_id in before)
    assert set(registration.ENVIRONMENTS) <= set(before)


def test_importing_registers_and_does_nothing_else():
    code = (
        "import gymnasium, random, numpy as np, warnings; warnings.simplefilter('error'); "
        "before = dict(gymnasium.registry); state = random.getstate(); "
        "legacy = np.random.get_state()[1].copy(); "
        "import rlverify.tabular_envs; "
        "assert random.getstate() == state and (np.random.get_state()[1] == legacy).all(); "
        "new = set(gymnasium.registry) - set(before); "
        "assert all(gymnasium.registry[k] is before[k] for k in before); "
        "assert not {'torch', 'hypothesis', 'pygame'} & set(__import__('sys').modules); "
        "print(*sorted(new))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == sorted(registration.ENVIRONMENTS)
    assert run.stderr == ""


@pytest.mark.parametrize("env_id", registration.ENVIRONMENTS)
def test_ids_make_single_and_vector_with_the_same_limit(env_id):
    _, _, limit = registration.ENVIRONMENTS[env_id]
    env, vector = gymnasium.make(env_id), gymnasium.make_vec(env_id, num_envs=2)
    assert isinstance(env.unwrapped, TabularEnv)
    assert isinstance(vector.unwrapped, TabularVectorEnv)
    assert env.spec.max_episode_steps == limit
    assert vector.unwrapped.max_episode_steps == limit
    assert env.unwrapped.mdp.transition.tobytes() == vector.unwrapped.mdp.transition.tobytes()
    assert gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()) == env.spec


def test_settings_reach_the_builder():
    assert gymnasium.make("rlverify/Corridor-v0", length=3).unwrapped.mdp.states == 4
    vector = gymnasium.make_vec("rlverify/Cliff-v0", num_envs=2, rows=3, columns=5)
    assert vector.unwrapped.mdp.name == cliff(3, 5).name
