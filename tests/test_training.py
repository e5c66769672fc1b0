"""Training loops: environments that come back, runs that go on, what is refused, what is shown."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from rlverify import cli
from rlverify.reference.categorical import categorical_sample
from rlverify.reference.gaussian import gaussian_sample
from rlverify.reference.networks import mlp_forward
from rlverify.reference.normalization import running_moments_normalize
from rlverify.training import commanding, illustration, tokenization
from rlverify.training.action import Actor, layers
from rlverify.training.computation import USED, Fast, Reference, twin
from rlverify.training.configuration import SETTINGS, described, settings_of
from rlverify.training.estimation import evaluated
from rlverify.training.initialization import Moment, Task, beginning
from rlverify.training.interaction import Environments, episode_seed, problem_of
from rlverify.training.learning import ALGORITHMS, most_steps, world_of
from rlverify.training.preservation import FILE, asked, load, save
from rlverify.training.provision import ppo_arguments, reinforce_arguments
from rlverify.training.running import WINDOW, Run

ROOT = Path(__file__).resolve().parents[1]
PLACES = {name: "tokens" if name == "grpo" else "CartPole-v1" for name in ALGORITHMS}
# short runs, whose updates cut episodes in the middle
SHORT = {
    "reinforce": ["steps=4000", "environments=3", "hidden=8"],
    "a2c": ["steps=300", "environments=3", "horizon=7", "hidden=8"],
    "trpo": ["steps=300", "environments=3", "horizon=20", "hidden=8", "minibatch_size=16"],
    "ppo": ["steps=300", "environments=3", "horizon=20", "hidden=8", "minibatch_size=16"],
    "grpo": ["steps=800", "prompts=3", "group=4", "hidden=8", "minibatch_size=5"],
}
RECIPE = ["normalize_observations=on", "scale_rewards=on"]


def task(algorithm: str, *more: str, environment: str = "", seed: int = 3) -> Task:
    given = [*SHORT[algorithm], *more]
    return commanding.task_of(algorithm, environment or PLACES[algorithm], given, None, seed)


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
    world = world_of(small)
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
    world = world_of(small)
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
    world, first = world_of(small), beginning(small, Reference())
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
    world, state = world_of(small), beginning(small, Reference())
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
    world, state = world_of(small), beginning(small, Reference())
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


# runs


def arrays_of(run: Run) -> dict[str, np.ndarray]:
    stand = run.stand
    parts = {"state": stand.state, "position": stand.position, "curve": vars(stand.curve)}
    return {f"{p}.{name}": array for p, items in parts.items() for name, array in items.items()}


def assert_same(one: Run, other: Run) -> None:
    assert one.moment == other.moment
    mine, theirs = arrays_of(one), arrays_of(other)
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype, name
        assert array.tobytes() == theirs[name].tobytes(), name


@pytest.mark.parametrize(
    ("algorithm", "more"),
    [
        *((name, ()) for name in ALGORITHMS),
        ("ppo", (*RECIPE, "dtype=float32", "max_norm=none")),
        ("a2c", (*RECIPE, "orthogonal=off")),
    ],
    ids=[*ALGORITHMS, "ppo-recipe", "a2c-recipe"],
)
def test_resumed_is_as_never_stopped(algorithm: str, more: tuple[str, ...], tmp_path: Path):
    """Saved and read after each of its updates, a run ends with the same bits."""
    small = task(algorithm, *more)
    whole = Run(small, Fast(small.settings.dtype))
    for _ in whole.updates():
        pass
    assert whole.moment.update >= 3
    assert whole.moment.steps + most_steps(small) > small.settings.steps >= whole.moment.steps

    parts = Run(small, Fast(small.settings.dtype))
    while parts.going:
        parts.advance()
        save(tmp_path, small, parts.stand)
        parts.close()
        stand, changed = load(tmp_path, small)
        assert changed == []
        parts = Run(small, Fast(small.settings.dtype), stand)
    assert_same(whole, parts)
    assert any(array.any() for array in arrays_of(whole).values())


@pytest.mark.parametrize("algorithm", ["a2c", "ppo"])
def test_gaussian_runs_resume(algorithm: str, tmp_path: Path):
    small = task(algorithm, *RECIPE, environment="Pendulum-v1")
    whole, part = Run(small, Fast()), Run(small, Fast())
    for run in (whole, part):
        run.advance()
    save(tmp_path, small, part.stand)
    part = Run(small, Fast(), load(tmp_path, small)[0])
    for run in (whole, part):
        run.advance()
    assert_same(whole, part)


def test_every_update_draws_numbers_of_its_own():
    small = task("ppo")
    kinds = [(purpose, update) for purpose in range(1, 4) for update in range(5)]
    drawn = {small.generator(*kind).random() for kind in kinds}
    assert len(drawn) == len(kinds)
    assert task("ppo", seed=4).generator(1, 0).random() not in drawn


def test_seeds_and_settings_matter():
    def parameters(small: Task) -> bytes:
        run = Run(small, Fast())
        run.advance()
        return run.state["parameters"].tobytes()

    kinds = [task("a2c"), task("a2c", seed=4), task("a2c", "gamma=0.5"), task("a2c")]
    found = [parameters(small) for small in kinds]
    assert len(set(found)) == 3
    assert found[0] == found[3]


# the command line

Ran = tuple[int, str, str]
Command = Callable[..., Ran]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        status = cli.main(["train", *words])
        ran = capsys.readouterr()
        return status, ran.out, ran.err

    return run


def chosen(algorithm: str, *more: str) -> list[str]:
    given = [*SHORT[algorithm], *more]
    return [algorithm, PLACES[algorithm], *(word for item in given for word in ("--set", item))]


def test_a_run_is_told_drawn_and_saved(command: Command, tmp_path: Path):
    status, out, err = command(*chosen("ppo"), "--seed", "7", "--json", "result.json")
    assert status == 0
    assert out.startswith("DONE  ppo on CartPole-v1, seed 7\n")
    folder = tmp_path / "runs" / "ppo-CartPole-v1-7"
    assert {path.name for path in folder.iterdir()} == {FILE, "curve.svg"}
    assert (folder / "curve.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert [line.split()[0] for line in err.splitlines()] == [
        f"{n}/300" for n in range(60, 301, 60)
    ]
    document = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert document["ok"]
    assert document["arguments"]["settings"]["horizon"] == 20
    (result,) = document["results"]
    assert (result["steps"], result["updates"], result["window"]) == (300, 5, WINDOW)
    assert len(result["curve"]["totals"]) == result["episodes"] > 0
    assert result["curve"]["totals"] == result["curve"]["lengths"]  # a reward of 1 a step


def test_a_target_decides(command: Command):
    words = chosen("grpo", "steps=2000")
    status, out, _ = command(*words, "--target", "0")
    assert (status, out.split("  ")[0]) == (0, "REACHED")
    status, out, _ = command(*words, "--target", "0.99", "--resume")
    assert (status, out.split("  ")[0]) == (1, "NOT REACHED")
    # without a hundred episodes there is no mean of a hundred
    status, out, _ = command(*chosen("a2c"), "--target", "0")
    assert (status, out.split("  ")[0]) == (1, "NOT REACHED")


def test_an_interrupted_run_goes_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert command(*chosen("ppo"), "--out", "whole")[0] == 0
    advance = Run.advance

    def interrupted(run: Run) -> None:
        if run.moment.update == 2:
            os.kill(os.getpid(), signal.SIGINT)  # in the middle of an update
        advance(run)

    monkeypatch.setattr(Run, "advance", interrupted)
    status, out, err = command(*chosen("ppo"), "--out", "part")
    assert (status, out) == (130, "")
    assert "180 of 300 steps are saved in part; the same command with --resume goes on" in err
    assert err.endswith("rlverify: interrupted\n")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    status, out, _ = command(*chosen("ppo"), "--out", "part", "--resume")
    assert status == 0
    for name in (FILE, "curve.svg"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_killed_run_goes_on(command: Command, tmp_path: Path):
    """Killed without warning, a run goes on from its last save."""
    words = [*chosen("a2c", "steps=4000"), "--save-every", "100"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rlverify", "train", *words, "--out", "part"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # a twentieth of the way
    process.kill()
    process.wait()
    process.stderr.close()
    assert process.returncode == -signal.SIGKILL
    status, _, err = command(*words, "--out", "part", "--resume")
    assert status == 0
    done = int(err.split("/")[0])
    assert 100 < done < 4000  # it did not begin again
    assert command(*words, "--out", "whole")[0] == 0
    assert (tmp_path / "part" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()


def test_a_save_that_fails_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = Run(task("a2c"), Fast())
    save(tmp_path, run.task, run.stand)
    before = (tmp_path / FILE).read_bytes()
    run.advance()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space left"):
        save(tmp_path, run.task, run.stand)
    assert (tmp_path / FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_picture_needs_matplotlib(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    status, out, _ = command(*chosen("ppo"), "--picture", "curve.png", "--target", "1")
    assert status == 1  # fewer than a hundred episodes
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"picture +curve\.png$", out, re.MULTILINE)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    status, out, _ = command(*chosen("ppo"), "--resume")
    assert status == 0
    assert illustration.MISSING in out
    assert "pip install 'rlverify[plots]'" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["dqn", "CartPole-v1"], "algorithm came as 'dqn', wanted one of reinforce, a2c, trpo"),
        (["ppo", "CartPol-v1"], "environment came as 'CartPol-v1', wanted one that Gymnasium "
         "registers; did you mean 'CartPole-v1'?"),
        (["ppo", "FrozenLake-v1"], "its observations are Discrete(16), wanted a flat Box."),
        (["ppo", "Odd-v0"], "its actions are MultiBinary(2), wanted Discrete or a flat Box."),
        (["ppo", "Loose-v0"], "environment Loose-v0 cannot be repeated, even with the same seed."),
        (["reinforce", "Endless-v0"], "it has no time limit, and reinforce plays whole episodes."),
        (["ppo", "tokens"], "grpo runs on tokens, the others on Gymnasium's environments"),
        (["grpo", "CartPole-v1"], "grpo runs on tokens, the others on Gymnasium's environments"),
        (["ppo", "CartPole-v1", "--set", "clip_rang=0.1"], "did you mean 'clip_range'?"),
        (["ppo", "CartPole-v1", "--set", "clip_range=2"], "wanted a number in (0, 1)."),
        (["ppo", "CartPole-v1", "--set", "gamma=nan"], "wanted a number in [0, 1]."),
        (["ppo", "CartPole-v1", "--set", "hidden=8,0"], "wanted widths such as 64,64."),
        (["ppo", "CartPole-v1", "--set", "orthogonal=maybe"], "wanted on or off."),
        (["ppo", "CartPole-v1", "--set", "max_norm=0"], "wanted a number above 0, or none."),
        (["ppo", "CartPole-v1", "--set", "activation=gelu"], "wanted one of tanh, relu."),
        (["ppo", "CartPole-v1", "--set", "gamma"], "wanted NAME=VALUE."),
        (["ppo", "CartPole-v1", "--set", "ddof=1", "--set", "minibatch_size=341"],
         "the smallest batch that advantages are normalised in has 1, ddof is 1"),
        (["grpo", "tokens", "--set", "group=1"], "a group needs two members"),
        (["ppo", "CartPole-v1", "--steps", "1000"], "wanted at least the 1024"),
        (["ppo", "CartPole-v1", "--picture", "curve.gif"], "that ends in .svg or .png."),
        (["ppo", "CartPole-v1", "--picture", "none/curve.svg"], "there is no folder"),
        (["ppo", "CartPole-v1", "--resume"], "runs/ppo-CartPole-v1-0 holds no saved run."),
        (["ppo", "CartPole-v1", "--out", "file/run"], "file/run: it cannot be written to"),
        (["ppo", "CartPole-v1", "--steps", "0"], "greater than or equal to 1"),
        (["ppo"], "ENVIRONMENT"),
    ],
)  # fmt: skip
def test_refusals_come_before_anything_runs(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
):
    monkeypatch.setattr(Run, "advance", lambda run: pytest.fail("it runs"))
    (tmp_path / "file").touch()
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert told in err
    assert err.startswith("rlverify: error: ")
    assert len(err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


class Odd(gymnasium.Env):
    """What `train` has no use for."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))

    def __init__(self, several: bool = False) -> None:
        several_ = gymnasium.spaces.MultiBinary(2)
        self.action_space = several_ if several else gymnasium.spaces.Discrete(2)


@pytest.fixture(autouse=True, scope="module")
def _odd_environments():
    gymnasium.register("Odd-v0", entry_point=Odd, kwargs={"several": True}, max_episode_steps=9)
    gymnasium.register("Endless-v0", entry_point=Odd)
    gymnasium.register("Loose-v0", entry_point=Odd, nondeterministic=True)
    yield
    for name in ("Odd-v0", "Endless-v0", "Loose-v0"):
        del gymnasium.registry[name]


def test_saved_runs_are_not_confused(command: Command, tmp_path: Path):
    assert command(*chosen("ppo"), "--out", "run")[0] == 0
    kept = (tmp_path / "run" / FILE).read_bytes()
    for words, told in [
        (chosen("ppo"), "it holds a run; --resume goes on with it, another --out begins one."),
        ([*chosen("ppo"), "--resume", "--seed", "9"], "has seed 0 (asked for 9);"),
        ([*chosen("ppo", "gamma=0.5"), "--resume"], "has gamma 0.99 (asked for 0.5);"),
        ([*chosen("a2c"), "--resume"], "has algorithm 'ppo' (asked for 'a2c'), "),
    ]:
        status, out, err = command(*words, "--out", "run")
        assert (status, out) == (2, "")
        assert told in err
    assert (tmp_path / "run" / FILE).read_bytes() == kept


@pytest.mark.parametrize(
    "spoil",
    [lambda held: held[:-50], lambda held: b"", lambda held: b"PK"],
    ids=["cut", "empty", "begun"],
)
def test_broken_saves_are_refused(
    command: Command, tmp_path: Path, spoil: Callable[[bytes], bytes]
):
    small = task("ppo")
    (tmp_path / "run").mkdir()
    save(tmp_path / "run", small, Run(small, Fast()).stand)
    file = tmp_path / "run" / FILE
    file.write_bytes(spoil(file.read_bytes()))
    status, out, err = command(*chosen("ppo"), "--seed", "3", "--out", "run", "--resume")
    assert (status, out) == (2, "")
    assert "is no saved run, or a broken one: " in err


class Trap:
    """What would make a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_saves_are_data_alone(command: Command, tmp_path: Path):
    (tmp_path / "run").mkdir()
    np.savez(tmp_path / "run" / FILE, run=np.array([Trap()], dtype=object))
    status, _, err = command(*chosen("ppo"), "--out", "run", "--resume")
    assert status == 2
    assert "is no saved run, or a broken one: " in err
    assert not (tmp_path / "sprung").exists()


def test_other_versions_are_told(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rlverify.training import preservation

    real = preservation.versions()
    with monkeypatch.context() as patch:
        patch.setattr(preservation, "versions", lambda: {**real, "torch": "1.0"})
        assert command(*chosen("ppo"), "--out", "run")[0] == 0
    status, _, err = command(*chosen("ppo"), "--out", "run", "--resume")
    assert status == 0
    assert f"saved by other versions, digits may differ: torch 1.0, now {real['torch']}" in err


# settings and documents


@pytest.mark.parametrize("algorithm", SETTINGS)
def test_settings_are_shown_as_they_are_set(algorithm: str, command: Command):
    settings = settings_of(algorithm, [])
    rows = described(settings)
    assert settings_of(algorithm, [f"{name}={value}" for name, value, _ in rows]) == settings
    assert asked(replace(task(algorithm), settings=settings))["algorithm"] == algorithm
    status, out, _ = command(algorithm, PLACES[algorithm], "--settings")
    assert status == 0
    for name, value, meaning in rows:
        assert meaning
        assert re.search(rf"^{name} +{re.escape(value)} +{re.escape(meaning)}$", out, re.MULTILINE)


def test_documented_recipe_is_the_default():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    recipe = text.split("## PPO's recipe")[1].split("##")[0]
    told = dict(pair.split("=") for pair in re.findall(r"`(\w+=[^`]*)`", recipe))
    assert len(told) > 15
    real = {name: value for name, value, _ in described(settings_of("ppo", []))}
    assert told == {name: real[name] for name in told}


@pytest.mark.parametrize("line", re.findall(
    r"^rlverify train (.*)$", (ROOT / "docs" / "training.md").read_text(encoding="utf-8"),
    re.MULTILINE,
))  # fmt: skip
def test_documented_commands_are_understood(
    line: str, command: Command, monkeypatch: pytest.MonkeyPatch
):
    class Understood(Exception):
        pass

    def stop(run: Run) -> None:
        raise Understood

    monkeypatch.setattr(Run, "advance", stop)
    words = [word for word in line.split("#")[0].split() if word != "--resume"]
    if "--settings" in words or "--lockstep" in words:
        return
    with pytest.raises(Understood):
        command(*words)
