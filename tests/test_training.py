"""Training loops: environments that come back, actors, tokens, what updates are given."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from rlverify.reference.categorical import categorical_sample
from rlverify.reference.gaussian import gaussian_sample
from rlverify.reference.networks import mlp_forward
from rlverify.reference.normalization import running_moments_normalize
from rlverify.training import tokenization
from rlverify.training.action import Actor, layers
from rlverify.training.computation import USED, Reference, twin
from rlverify.training.estimation import evaluated
from rlverify.training.initialization import Moment, Task, beginning
from rlverify.training.interaction import Environments, episode_seed, problem_of
from rlverify.training.learning import ALGORITHMS, world_of
from rlverify.training.provision import ppo_arguments, reinforce_arguments
from short_runs import RECIPE, task

# environments


def test_episodes_have_seeds_of_their_own():
    seeds = {episode_seed(s, b, e) for s in range(4) for b in range(4) for e in range(20)}
    assert len(seeds) == 4 * 4 * 20
    assert episode_seed(1, 2, 3) == episode_seed(1, 2, 3)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_environments_come_back(name: str):
    """Replayed to where they were, environments go on as those that were never left."""
    problem = problem_of(name)
    one = Environments(problem, 3, seed=5)
    generator = np.random.default_rng(0)

    def act() -> np.ndarray:
        if problem.distribution == "categorical":
            return generator.integers(0, problem.outputs, 3)
        return generator.standard_normal((3, problem.outputs)) * 3  # often out of bounds

    def move(environments: Environments, actions: np.ndarray) -> list[np.ndarray]:
        step = environments.step(actions, range(3))
        ended = np.flatnonzero(step.terminated | step.truncated).tolist()
        environments.begin(ended)
        return [*step, environments.observations.copy()]

    one.begin(range(3))
    for _ in range(70):
        move(one, act())
    other = Environments(problem, 3, seed=5)
    position = {name: array.copy() for name, array in one.position().items()}
    other.restore(position)
    assert np.unique(position["lengths"]).size > 1 or name == "Pendulum-v1"
    for _ in range(150):  # beyond the end of the open episodes
        actions = act()
        for mine, theirs in zip(move(one, actions), move(other, actions), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert one.ended[-len(other.ended) :] == other.ended != []
    assert one.steps == other.steps


def test_an_environment_that_comes_out_elsewhere_is_refused():
    environments = Environments(problem_of("CartPole-v1"), 2, seed=0)
    environments.begin([0, 1])
    environments.step(np.array([0, 1]), [0, 1])
    position = environments.position()
    position["observations"][1, 2] += 1
    with pytest.raises(ValueError, match="environment 1 did not come back to where it was"):
        Environments(problem_of("CartPole-v1"), 2, seed=0).restore(position)


def test_what_follows_a_time_limit_is_the_final_observation():
    small = task("ppo", "horizon=220", "steps=1000", environment="Pendulum-v1")
    world = world_of(small, Reference())
    state = beginning(small, Reference())
    taken = ALGORITHMS["ppo"].collect(state, Moment(), small, world)
    assert not taken.terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(taken.truncated[:, 0]), [199])  # 200 steps
    following, seen = taken.next_observations, taken.observations
    cut = taken.truncated[:-1]
    np.testing.assert_array_equal(following[:-1][~cut], seen[1:][~cut])
    assert (following[:-1][cut] != seen[1:][cut]).any(axis=1).all()
    # played by hand, the episode ends where the recording says
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=episode_seed(small.seed, 0, 0))
    for action in taken.actions[:200, 0]:
        final, _, _, cut, _ = env.step(np.clip(action, -2, 2).astype(np.float32))
    assert cut
    np.testing.assert_array_equal(following[199, 0], final)
    env.close()


def test_actions_out_of_bounds_are_clipped_for_the_environment_alone():
    problem = problem_of("Pendulum-v1")
    environments, twin_ = (Environments(problem, 1, seed=0) for _ in range(2))
    environments.begin([0])
    twin_.begin([0])
    far, edge = (e.step(np.array([[a]]), [0]) for e, a in ((environments, 9.0), (twin_, 2.0)))
    np.testing.assert_array_equal(far.observations, edge.observations)
    assert environments.position()["actions"] == 9


# acting


def test_actors_act_as_the_references_say():
    """The network, the looking up and the scaling, on numbers whose arithmetic is exact."""
    generator = np.random.default_rng(1)
    sizes = (3, 4, 5)
    parameters = generator.integers(-3, 4, 3 * 4 + 4 + 4 * 5 + 5).astype(float)
    rows = generator.integers(-2, 3, (6, 3)).astype(float)
    exact = Actor(layers(parameters, sizes), "relu")
    wanted = mlp_forward(parameters, rows, sizes=sizes, activation="relu")
    np.testing.assert_array_equal(exact.outputs(rows), wanted)

    mean, variance = np.array([1.0, -2.0, 0.0]), np.array([3.0, 15.0, 0.0])
    scaled = replace(exact, mean=mean, scale=np.sqrt(variance + 1), limit=1.0)
    shown = running_moments_normalize(mean, variance, rows, eps=1.0, clip=1.0)
    np.testing.assert_array_equal(scaled.outputs(rows), exact.outputs(shown))

    tanh = Actor(layers(parameters / 8, sizes), "tanh")
    uniforms = generator.random(6)
    actions = categorical_sample(tanh.outputs(rows), uniforms, None)
    np.testing.assert_array_equal(tanh.act(rows, uniforms), actions)
    normals, log_std = generator.standard_normal((6, 5)), np.log(np.arange(1.0, 6))
    gaussian = replace(tanh, deviation=np.exp(log_std))
    drawn = gaussian_sample(tanh.outputs(rows), log_std, normals)
    np.testing.assert_array_equal(gaussian.act(rows, normals), drawn)


# tokens


def test_responses_are_judged():
    def judged(count: int, digit: int, *tokens: int) -> float:
        padded = np.zeros((1, tokenization.LENGTH), dtype=np.int64)
        padded[0, : len(tokens)] = tokens
        mask = np.arange(tokenization.LENGTH)[None] < len(tokens)
        return tokenization.rewards_of(np.array([count]), np.array([digit]), padded, mask)[0]

    end = tokenization.END
    assert judged(4, 5, 6, 0, 1, 2, end) == 1
    assert judged(4, 5, 6, 0, end) == 2 / 5
    assert judged(4, 5, 6, 0, 2, 3, end) == 4 / 5
    assert judged(4, 5, 6, 0, 1, 2, 3, 4) == 4 / 6  # nothing after the place of the end is right
    assert judged(0, 3, end) == 1
    assert judged(0, 3, 4, end) == 0
    assert judged(11, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, end) == tokenization.BEST


def test_responses_end_once():
    small = task("grpo", "prompts=20", "steps=3000")
    world = world_of(small, Reference())
    taken = ALGORITHMS["grpo"].collect(beginning(small, Reference()), Moment(), small, world)
    lengths = taken.mask.sum(axis=1)
    assert lengths.min() == 1  # of 80 responses of a policy that knows nothing
    assert lengths.max() == tokenization.LENGTH
    for tokens, mask, length in zip(taken.actions, taken.mask, lengths, strict=True):
        assert mask[:length].all()
        assert (tokens[: length - 1] != tokenization.END).all()
        assert tokens[length - 1] == tokenization.END or length == tokenization.LENGTH
        assert not tokens[length:].any()
    np.testing.assert_array_equal(taken.inputs.sum(axis=2), 3 * taken.mask)
    assert world.steps == taken.mask.sum() == sum(episode.length for episode in world.ended)
    assert [episode.total for episode in world.ended] == taken.rewards.tolist()
    np.testing.assert_array_equal(taken.group_ids, np.repeat(np.arange(20), 4))


# what updates are given


def test_moments_stand_still_during_a_rollout_and_move_after_it():
    small = task("ppo", *RECIPE)
    world, first = world_of(small, Reference()), beginning(small, Reference())
    taken = ALGORITHMS["ppo"].collect(first, Moment(), small, world)
    rollout, second = evaluated(first, taken, small, Reference())
    np.testing.assert_array_equal(rollout.inputs, taken.observations)  # nothing was known yet
    assert second["observation_count"] == taken.mask.sum() == second["return_count"]
    again = ALGORITHMS["ppo"].collect(second, Moment(1, 60), small, world)
    rollout, third = evaluated(second, again, small, Reference())
    rows = again.observations.reshape(-1, 4)
    shown = running_moments_normalize(
        second["observation_mean"], second["observation_variance"], rows, eps=1e-8, clip=10.0
    )
    np.testing.assert_array_equal(rollout.inputs.reshape(-1, 4), shown)
    assert third["observation_count"] == 2 * taken.mask.sum()


def test_annealing_and_its_switches():
    small = task("ppo", "steps=256", "learning_rate=0.5", "clip_range=0.25", "environments=1")
    world, state = world_of(small, Reference()), beginning(small, Reference())
    taken = ALGORITHMS["ppo"].collect(state, Moment(), small, world)
    rollout, state = evaluated(state, taken, small, Reference())
    estimates = twin("reference", "gae")(
        rollout.rewards, rollout.values, rollout.next_values, rollout.terminated,
        rollout.truncated, gamma=1.0, lam=1.0,
    )  # fmt: skip

    def given(task: Task) -> tuple[float, float, float]:
        found = ppo_arguments(state, rollout, estimates, Moment(7, 64), task, Reference())
        return found["learning_rate"], found["clip_range"], found["value_clip_range"]

    assert given(small) == (0.375, 0.1875, 0.2 * 0.75)
    steady = replace(small.settings, anneal_learning_rate=False, anneal_clip_range=False)
    assert given(replace(small, settings=steady)) == (0.5, 0.25, 0.2)


def test_whole_episodes_are_learnt_from_without_their_padding():
    small = task("reinforce")
    world, state = world_of(small, Reference()), beginning(small, Reference())
    taken = ALGORITHMS["reinforce"].collect(state, Moment(), small, world)
    lengths = taken.mask.sum(axis=0)
    assert lengths.max() == len(taken.mask) > lengths.min()
    for column, length in enumerate(lengths):
        assert taken.mask[:length, column].all()
        assert (taken.terminated | taken.truncated)[length - 1, column]
        assert not (taken.terminated | taken.truncated)[: length - 1, column].any()
    rollout, state = evaluated(state, taken, small, Reference())
    weights = np.where(taken.mask, 1.0, np.nan)
    given = reinforce_arguments(state, rollout, weights, Moment(), small, Reference())
    assert given["weights"].shape == given["actions"].shape == (lengths.sum(),)
    assert np.isfinite(given["weights"]).all()
    assert given["inputs"].shape == (lengths.sum(), 4)


@pytest.mark.parametrize("function", sorted(USED))
def test_functions_that_loops_use_exist(function: str):
    assert callable(twin("reference", function))
    assert callable(twin("fast", function))
