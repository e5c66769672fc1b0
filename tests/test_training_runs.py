"""Training runs: resumed as never stopped, drawn from their seed alone, saved whole or not."""

import os
from pathlib import Path

import numpy as np
import pytest

from rlverify.training.computation import Fast
from rlverify.training.initialization import Task
from rlverify.training.learning import ALGORITHMS, most_steps
from rlverify.training.preservation import FILE, load, save
from rlverify.training.running import Run
from short_runs import RECIPE, task

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
        ("q_learning", ("rule=sarsa", "dtype=float32")),
        ("q_learning", ("rule=double_q",)),
    ],
    ids=[*ALGORITHMS, "ppo-recipe", "a2c-recipe", "sarsa", "double-q"],
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


@pytest.mark.parametrize("environment", ["CliffWalking", "Taxi", "CartPole-v1"])
def test_tables_resume(environment: str, tmp_path: Path):
    small = task("q_learning", "rule=expected_sarsa", "steps=90", environment=environment)
    whole, part = Run(small, Fast()), Run(small, Fast())
    for run in (whole, part):
        run.advance()
    save(tmp_path, small, part.stand)
    part.close()
    part = Run(small, Fast(), load(tmp_path, small)[0])
    for run in (whole, part):
        for _ in run.updates():
            pass
    assert_same(whole, part)
    assert (whole.state["q_values"] != 1).any()


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
