"""Commanding: `rlverify train`, once its words are understood."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from rlverify.preparation import usage
from rlverify.presentation import Desk, Progression
from rlverify.tabulation import Column, labelled, show, table, text
from rlverify.training.computation import Fast, one_thread
from rlverify.training.configuration import (
    SETTINGS,
    Dqn,
    Grpo,
    Reinforce,
    Tabular,
    described,
    settings_of,
)
from rlverify.training.discretization import recipe, table_of
from rlverify.training.illustration import MISSING, can_draw, draw, refuse_picture
from rlverify.training.initialization import Task
from rlverify.training.interaction import problem_of
from rlverify.training.learning import most_steps
from rlverify.training.preservation import asked, load, refuse_folder, save
from rlverify.training.running import WINDOW, Run
from rlverify.training.tokenization import TOKENS
from rlverify.training.valuation import RECIPES

LINES = 20  # how many a pipe gets while a run is on its way


def task_of(
    algorithm: str, environment: str, given: list[str], steps: int | None, seed: int
) -> Task:
    """Return what is to be run.

    Raises:
        ValueError: there is no such thing, or its parts do not fit together.
    """
    if SETTINGS.get(algorithm) is Tabular:
        given = [*recipe(environment), *given]
    if SETTINGS.get(algorithm) is Dqn:
        given = [*RECIPES.get(environment, ()), *given]
    settings = settings_of(algorithm, given if steps is None else [*given, f"steps={steps}"])
    if (environment == TOKENS.name) != isinstance(settings, Grpo):
        which = f"{TOKENS.name} is" if environment == TOKENS.name else "environments are"
        raise ValueError(
            f"{algorithm} {environment}: {which} not for {algorithm}; "
            f"grpo runs on {TOKENS.name}, the others on Gymnasium's environments, as CartPole-v1."
        )
    problem = (
        TOKENS if isinstance(settings, Grpo)
        else table_of(environment, settings) if isinstance(settings, Tabular)
        else problem_of(environment)
    )  # fmt: skip
    if isinstance(settings, Reinforce) and problem.limit is None:
        raise ValueError(
            f"environment {environment}: it has no time limit, and reinforce plays whole episodes."
        )
    if isinstance(settings, Dqn) and problem.distribution != "categorical":
        raise ValueError(
            f"environment {environment}: its actions are numbers, and dqn compares the values of "
            "a few actions."
        )
    task = Task(algorithm, problem, settings, seed)
    if settings.steps < most_steps(task):
        raise ValueError(
            f"--steps came as {settings.steps}, wanted at least the {most_steps(task)} "
            "that one update can take."
        )
    return task


def describe(desk: Desk, algorithm: str, environment: str, given: list[str]) -> bool:
    """Print the settings of an algorithm; run nothing."""
    with usage():
        task = task_of(algorithm, environment, given, None, 0)
    rows = described(task.settings)
    desk.write(asked(task), [dict(zip(("name", "value", "meaning"), r, strict=True)) for r in rows])
    columns = [Column(title) for title in ("setting", "value", "meaning")]
    cells = [[text(name, "bold"), text(value), text(meaning)] for name, value, meaning in rows]
    desk.say(table(columns, cells, desk.width))
    return True


def run(
    desk: Desk,
    algorithm: str,
    environment: str,
    *,
    given: list[str],
    steps: int | None,
    seed: int,
    out: Path | None,
    save_every: int,
    resume: bool,
    target: float | None,
    picture: Path | None,
) -> bool:
    """Train a policy; return whether the target, if there is one, is reached."""
    with usage():
        task = task_of(algorithm, environment, given, steps, seed)
        folder = out or Path("runs") / f"{algorithm}-{environment.replace('/', '-')}-{seed}"
        if picture is not None:
            refuse_picture(picture)
        refuse_folder(folder, resume=resume)
        stand, changed = load(folder, task) if resume else (None, [])
    if changed:
        show(
            desk.errors, [text(f"saved by other versions, digits may differ: {'; '.join(changed)}")]
        )
    start = time.perf_counter()
    with one_thread(), patience() as interruption:
        with usage():
            running = Run(task, Fast(task.settings.dtype), stand)
        with contextlib.closing(running):
            save(folder, task, running.stand)
            with desk.progression(task.settings.steps) as progress:
                _train(running, progress, folder, save_every, interruption)
            save(folder, task, running.stand)
    if interruption.asked:
        done = f"{running.moment.steps} of {task.settings.steps} steps are saved in {folder}"
        show(desk.errors, [text(f"{done}; the same command with --resume goes on")])
        raise KeyboardInterrupt
    return _report(
        desk, running, folder, picture or folder / "curve.svg", target, time.perf_counter() - start
    )


def _train(
    running: Run, progress: Progression, folder: Path, save_every: int, interruption: "Interruption"
) -> None:
    """Make the updates that are left, unless interrupted; save now and then."""
    task, total = running.task, running.task.settings.steps
    progress.reach(running.moment.steps, "", told=False)
    while running.going and not interruption.asked:
        before = running.moment.steps
        running.advance()
        after = running.moment.steps
        if after // save_every > before // save_every:
            save(folder, task, running.stand)
        told = after * LINES // total > before * LINES // total or not running.going
        progress.reach(after, _told(running), told=told)


def _told(running: Run) -> str:
    """Return how well a run does."""
    recent, count = running.recent, len(running.totals)
    if recent is None:
        return f"{count} episodes"
    return f"mean return of the last {WINDOW} of {count} episodes: {recent:.4g}"


def _report(
    desk: Desk, running: Run, folder: Path, image: Path, target: float | None, seconds: float
) -> bool:
    """Print and write what came of a run; return whether the target is reached."""
    task, curve, recent = running.task, running.curve, running.recent
    reached = target is None or (recent is not None and recent >= target)
    drawn = can_draw()
    if drawn:
        draw(image, task, curve, target)
    result = {
        "recent": recent,
        "window": WINDOW,
        "episodes": len(curve.totals),
        "steps": running.moment.steps,
        "updates": running.moment.update,
        "curve": dataclasses.asdict(curve),
    }
    desk.write(
        {**asked(task), "target": target}, [result],
        ok=reached, seconds=seconds, folder=str(folder), picture=str(image) if drawn else None,
    )  # fmt: skip
    verdict = "DONE" if target is None else "REACHED" if reached else "NOT REACHED"
    facts: dict[str, str] = {
        "return": _told(running),
        "steps": f"{running.moment.steps} in {running.moment.update} updates, {seconds:.1f} s",
    }
    if target is not None:
        facts["target"] = f"{target:g}"
    facts["saved"] = str(folder)
    facts["picture"] = str(image) if drawn else MISSING
    title = text(verdict, "bold green" if reached else "bold red")
    title.append(f"  {task.algorithm} on {task.problem.name}, seed {task.seed}")
    lines = [title, text("")]
    for label, fact in facts.items():
        lines += labelled(label, [text(fact)], desk.width, 12)
    desk.say(lines)
    return reached


class Interruption:
    """Whether somebody wants a run to stop.

    Attributes:
        asked: they do.
    """

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Note the wish; whoever asks a second time does not want to wait."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def patience() -> Iterator[Interruption]:
    """Let an update come to its end when the process is asked to stop, so that it can be saved."""
    interruption, kept = Interruption(), dict[signal.Signals, Any]()
    if threading.current_thread() is threading.main_thread():  # no other may handle signals
        for number in (signal.SIGINT, signal.SIGTERM):
            kept[number] = signal.signal(number, interruption.ask)
    try:
        yield interruption
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
