"""Recorded rollouts: every number replayed by an independent slow loop.

The replay steps one environment at a time, resets it by hand, and looks at nothing but the
observation that `step` returned; agents and network are those of the recording.
"""

import re
from itertools import pairwise

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from rlverify import recording
from rlverify.acting import Agent, guide, value_network
from rlverify.recording import PLAN, Rollout, newest_id, real_rollouts, record
from rlverify.tabular_envs import registration

NEXT, SAME = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP
NAMES = {"CartPole": 9, "Pendulum": 7, "FrozenLake": 8, "CliffWalking": 12, "Taxi": 14}
MANNERS = {
    "single": {"vector": False},
    "next step": {"vector": True, "autoreset_mode": NEXT},
    "same step": {"vector": True, "autoreset_mode": SAME},
}
ARRAYS = ("rewards", "values", "next_values", "terminated", "truncated")
registration.register_environments()


def replay(env_id, steps, seed, column, limit):
    """Rows (observation, reward, next observation, terminated, truncated, reset observation)."""
    env = gymnasium.make(env_id, max_episode_steps=limit)
    agent = Agent(env.action_space, guide(env), seed, column)
    observation, _ = env.reset(seed=seed + column)
    rows = []
    for _ in range(steps):
        after, reward, terminated, truncated, _ = env.step(agent.act(observation))
        again = env.reset()[0] if terminated or truncated else None
        rows.append((observation, reward, after, terminated, truncated, again))
        observation = after if again is None else again
    env.close()
    return value_network(env.observation_space), rows


def native(env_id, manner):
    return manner == "next step" and gymnasium.spec(env_id).vector_entry_point is not None


# CartPole's own vector version seeds itself in another way, and is replayed below
REPLAYED = [
    (name, manner) for name in NAMES for manner in MANNERS if not native(newest_id(name), manner)
]


@pytest.mark.parametrize(("name", "manner"), REPLAYED)
def test_recording_equals_a_slow_replay(name, manner):
    env_id, limit, steps, seed = newest_id(name), NAMES[name], 60, 5
    rollout = record(env_id, steps=steps, columns=3, seed=seed, time_limit=limit, **MANNERS[manner])
    seen = 0
    for b in range(3):
        network, rows = replay(env_id, steps, seed, b, limit)
        for t, (observation, reward, after, terminated, truncated, again) in enumerate(rows):
            assert rollout.rewards[t, b] == reward
            assert rollout.terminated[t, b] == terminated
            assert rollout.truncated[t, b] == truncated
            assert rollout.values[t, b] == network(observation)
            assert rollout.next_values[t, b] == network(after)
            if truncated and np.any(again != after):
                seen += 1
                assert rollout.next_values[t, b] != network(again)
    # a limit that nobody reaches, or that always ends where it began, would show nothing
    assert seen > 0


def test_native_vector_environment_equals_a_slow_replay():
    steps, columns, seed, limit = 60, 3, 5, 9
    rollout = record(
        "CartPole-v1", steps=steps, columns=columns, seed=seed, vector=True, time_limit=limit
    )
    envs = gymnasium.make_vec("CartPole-v1", num_envs=columns, max_episode_steps=limit)
    assert not isinstance(envs.unwrapped, gymnasium.vector.SyncVectorEnv)
    network = value_network(envs.single_observation_space)
    agents = [Agent(envs.single_action_space, {}, seed, b) for b in range(columns)]
    observed = [envs.reset(seed=seed)[0]]
    flags = [np.zeros((2, columns), dtype=bool)]
    action = np.zeros(columns, dtype=np.int64)
    recorded = [0] * columns
    resets = 0
    while min(recorded) < steps:
        begins = flags[-1].any(axis=0)  # these columns only reset now
        for b in np.flatnonzero(~begins):
            action[b] = agents[b].act(observed[-1][b])
        after, reward, terminated, truncated, _ = envs.step(action.copy())
        for b in range(columns):
            t = recorded[b]
            if begins[b]:
                resets += 1
                assert reward[b] == 0
            elif t < steps:
                recorded[b] += 1
                assert rollout.values[t, b] == network(observed[-1][b])
                assert rollout.next_values[t, b] == network(after[b])
                assert rollout.rewards[t, b] == reward[b] == 1
                assert rollout.terminated[t, b] == terminated[b]
                assert rollout.truncated[t, b] == truncated[b]
        observed.append(after)
        flags.append(np.stack([terminated, truncated]))
    assert resets > 0


@pytest.mark.parametrize("name", NAMES)
def test_single_and_vector_record_the_same(name):
    env_id = newest_id(name)
    rollouts = [
        record(env_id, steps=40, columns=2, seed=3, time_limit=NAMES[name], **how)
        for manner, how in MANNERS.items()
        if (name, manner) in REPLAYED
    ]
    assert len(rollouts) >= 2
    for one, other in pairwise(rollouts):
        for field in ARRAYS:
            assert getattr(one, field).tobytes() == getattr(other, field).tobytes()
        assert one.name != other.name


@pytest.mark.parametrize("manner", MANNERS)
def test_our_own_corridor_by_hand(manner, monkeypatch):
    # limit 2, always to the right in a corridor of 3: cells 0 1 | 0 1 | 0 1 ...
    monkeypatch.setattr(recording, "value_network", lambda space: lambda cell: 10.0 + cell)
    monkeypatch.setattr(Agent, "act", lambda self, observation: np.int64(1))
    rollout = record(
        "rlverify/Corridor-v0", steps=5, columns=2, seed=0, time_limit=2, **MANNERS[manner]
    )
    for b in range(2):
        assert rollout.values[:, b].tolist() == [10, 11, 10, 11, 10]
        assert rollout.next_values[:, b].tolist() == [11, 12, 11, 12, 11]
        assert rollout.truncated[:, b].tolist() == [False, True, False, True, False]
        assert not rollout.terminated.any()
        assert rollout.rewards[:, b].tolist() == [-1] * 5


@pytest.fixture(scope="module")
def rollouts():
    return {seed: real_rollouts(seed=seed) for seed in range(4)}


def test_real_rollouts_are_what_estimators_take(rollouts):
    for recorded in rollouts.values():
        assert len(recorded) == len({rollout.name for rollout in recorded}) == len(PLAN)
        assert {rollout.name.split("-v")[0] for rollout in recorded} == set(NAMES)
        for rollout in recorded:
            assert isinstance(rollout, Rollout)
            for field in ARRAYS:
                array = getattr(rollout, field)
                assert array.shape == rollout.rewards.shape
                assert array.ndim == 2
                assert array.flags.c_contiguous
                assert array.dtype == (np.bool_ if field.endswith("ated") else np.float64)
                assert np.isfinite(array).all()


def test_values_are_chained_except_at_ends(rollouts):
    for recorded in rollouts.values():
        for rollout in recorded:
            ended = (rollout.terminated | rollout.truncated)[:-1]
            same = rollout.values[1:] == rollout.next_values[:-1]
            assert same[~ended].all()
            # the next row stands in a reset state, which now and then is the final one too
            assert not same[ended].all()


def test_both_kinds_of_end_occur(rollouts):
    for recorded in rollouts.values():
        for rollout in recorded:
            assert (rollout.truncated & ~rollout.terminated).any(), rollout.name
            only = rollout.terminated & ~rollout.truncated
            assert only.any() != rollout.name.startswith("Pendulum"), rollout.name
            worth = rollout.next_values[rollout.terminated | rollout.truncated]
            assert (worth != 0).all()  # so that a wrong bootstrap shows


def test_no_episode_outlives_its_limit_and_no_reset_is_recorded(rollouts):
    for recorded in rollouts.values():
        for rollout, (name, limit, _) in zip(recorded, PLAN, strict=True):
            for b in range(rollout.rewards.shape[1]):
                ends = np.flatnonzero(rollout.terminated[:, b] | rollout.truncated[:, b])
                lengths = np.diff(ends, prepend=-1)
                assert (lengths <= limit).all()
                assert ((lengths == limit) == rollout.truncated[ends, b]).all()
            if name == "CartPole":
                assert (rollout.rewards == 1).all()  # a reset would pay 0
            elif name in {"CliffWalking", "Taxi"}:
                assert (rollout.rewards != 0).all()


def test_seeds_repeat_and_differ(rollouts):
    again = real_rollouts(seed=0)
    for one, other in zip(rollouts[0], again, strict=True):
        for field in ARRAYS:
            assert getattr(one, field).tobytes() == getattr(other, field).tobytes()
    for one, other in zip(rollouts[0], rollouts[1], strict=True):
        assert (one.values != other.values).any()
    first = rollouts[0][0]
    assert (first.values[:, 0] != first.values[:, 1]).any()


def test_values_tell_states_apart():
    network = value_network(gymnasium.spaces.Discrete(500))
    values = [network(np.int64(state)) for state in range(500)]
    assert len(set(values)) == 500
    assert values == [value_network(gymnasium.spaces.Discrete(500))(s) for s in range(500)]
    box = gymnasium.spaces.Box(-1, 1, (3,))
    assert value_network(box)(np.zeros(3)) != value_network(box)(np.ones(3))
    with pytest.raises(TypeError, match=r"^value_network: space came as Box.* wanted Discrete or"):
        value_network(gymnasium.spaces.Box(-1, 1, (3, 3)))


def test_guide_leads_to_the_best_paid_end():
    for name, goal in {"FrozenLake": 1, "CliffWalking": -1, "Taxi": 20}.items():
        kwargs = {"is_slippery": False} if name == "FrozenLake" else {}
        env = gymnasium.make(newest_id(name), **kwargs)
        way = guide(env)
        state, _ = env.reset(seed=0)
        for _ in range(30):
            state, reward, terminated, _, _ = env.step(way[state])
            if terminated:
                break
        assert terminated
        assert reward == goal
    assert guide(gymnasium.make("CartPole-v1")) == {}


def test_newest_id():
    gymnasium.register("Numbered-v2", entry_point="nowhere:Env")
    gymnasium.register("Numbered-v10", entry_point="nowhere:Env")
    gymnasium.register("other/Numbered-v11", entry_point="nowhere:Env")
    try:
        assert newest_id("Numbered") == "Numbered-v10"
    finally:
        for env_id in ("Numbered-v2", "Numbered-v10", "other/Numbered-v11"):
            del gymnasium.registry[env_id]
    with pytest.raises(ValueError, match=r"^newest_id: .*'Numbered', wanted one that"):
        newest_id("Numbered")


@pytest.mark.parametrize("argument", ["steps", "columns", "seed", "time_limit"])
def test_refusals(argument):
    arguments = {"steps": 2, "columns": 1, "seed": 0, "vector": False, "time_limit": 3}
    least = 0 if argument == "seed" else 1
    message = f"record: {argument} came as {least - 1}, wanted an integer of at least {least}."
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        record("CartPole-v1", **arguments | {argument: least - 1})
    with pytest.raises(TypeError, match=f"^record: {argument} came as float, wanted an integer"):
        record("CartPole-v1", **arguments | {argument: 1.0})


def test_autoreset_refusals(monkeypatch):
    arguments = {"steps": 2, "columns": 1, "seed": 0, "vector": True, "time_limit": 3}
    with pytest.raises(ValueError, match=r"^record: autoreset_mode came as .*DISABLED, wanted NEX"):
        record("CartPole-v1", **arguments, autoreset_mode=AutoresetMode.DISABLED)
    # an environment whose own vector version resets in another way than asked for
    native_class = type(gymnasium.make_vec("CartPole-v1").unwrapped)
    monkeypatch.setattr(native_class, "metadata", {"autoreset_mode": SAME, "render_modes": []})
    with pytest.raises(ValueError, match=r"wanted autoreset_mode=AutoresetMode\.SAME_STEP"):
        record("CartPole-v1", **arguments)
