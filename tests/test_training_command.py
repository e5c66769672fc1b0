"""The command `train`: what it tells and saves, what it refuses, its settings and documents."""

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
from rlverify.training import illustration
from rlverify.training.commanding import task_of
from rlverify.training.computation import Fast
from rlverify.training.configuration import SETTINGS, described, settings_of
from rlverify.training.preservation import FILE, asked, save
from rlverify.training.running import WINDOW, Run
from short_runs import PLACES, chosen, task

ROOT = Path(__file__).resolve().parents[1]


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
        (["sac", "CartPole-v1"], "algorithm came as 'sac', wanted one of reinforce, a2c, trpo"),
        (["ppo", "CartPol-v1"], "environment came as 'CartPol-v1', wanted one that Gymnasium "
         "registers; did you mean 'CartPole-v1'?"),
        (["ppo", "FrozenLake-v1"], "its observations are Discrete(16), wanted a flat Box."),
        (["q_learning", "Blackjack-v1"], "wanted Discrete, or a flat Box to put a grid on."),
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
        (["dqn", "Pendulum-v1"], "its actions are numbers, and dqn compares the values"),
        (["dqn", "CartPole-v1", "--set", "capacity=3"], "at least one transition per environment"),
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
    settings = task_of(algorithm, PLACES[algorithm], [], None, 0).settings
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
