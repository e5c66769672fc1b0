"""Accompanying: `rlverify train … --lockstep N`, once its words are understood."""

import time
from typing import Any

from rich.text import Text

from rlverify.lockstepping import counted
from rlverify.preparation import usage
from rlverify.presentation import Desk
from rlverify.tabulation import Column, labelled, table, text, wrapped
from rlverify.training.commanding import task_of
from rlverify.training.computation import one_thread
from rlverify.training.initialization import Task
from rlverify.training.preservation import asked
from rlverify.training.teaching import SMALL, Report, Update, reported, updates_of

_COLUMNS = (
    Column("update", right=True),
    Column("stages", right=True),
    Column("worst stage"),
    Column("grade"),
    Column("error", right=True),
    Column("at"),
    Column("apart", right=True),
)
LEGEND = {
    "stages": "how many were judged, each from the reference's numbers",
    "error": "of the worst stage, in units of its bound; above 1 is wrong",
    "apart": "greatest difference of a parameter or entry where the fast version runs on "
    "its own; it has no bound",
}


def refuse(**options: object) -> None:
    """Refuse options of a training run: a loop in lockstep saves and draws nothing.

    Raises:
        Usage: one of them is given.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            with usage():
                raise ValueError(f"--{name}: it is about training, and --lockstep does not train.")


def lockstep(algorithm: str, environment: str, given: list[str], seed: int) -> Task:
    """Return the task of a loop in lockstep: small networks and batches, unless set otherwise."""
    return task_of(algorithm, environment, [*SMALL.get(algorithm, ()), *given], None, seed)


def run(
    desk: Desk, algorithm: str, environment: str, given: list[str], seed: int, updates: int
) -> bool:
    """Run a loop in lockstep; return whether every stage of it is right."""
    with usage():
        task = lockstep(algorithm, environment, given, seed)
    start, made = time.perf_counter(), list[Update]()
    with one_thread(), desk.progression(updates) as progress:
        for update in updates_of(task, updates, task.settings.dtype):
            made.append(update)
            progress.done(f"update {update.number}: {'ok' if update.ok else 'not ok'}")
    report, seconds = reported(made), time.perf_counter() - start
    desk.write(
        {**asked(task), "lockstep": updates}, [record(update) for update in made],
        ok=report.ok, seconds=seconds, vacuous=report.vacuous,
    )  # fmt: skip
    desk.say(lines(task, report, seconds, desk.width))
    return report.ok


def record(update: Update) -> dict[str, Any]:
    """Return an update as it is written to a file."""
    stages = [
        {
            "stage": call.told(judgement), "grade": judgement.grade, "worst": judgement.worst,
            "where": judgement.where, "problem": judgement.problem,
        }
        for call in update.calls for judgement in call.lockstep.judgements
    ]  # fmt: skip
    return {"update": update.number, "ok": update.ok, "apart": update.apart, "stages": stages}


def lines(task: Task, report: Report, seconds: float, width: int | None) -> list[Text]:
    """Return what there is to say about a loop: a line an update, and what is wrong."""
    found = table(_COLUMNS, [_cells(update) for update in report.updates], width)
    found.append(Text())
    for label, meaning in LEGEND.items():
        found += labelled(label, [text(meaning, "dim")], width, 10)
    title = text("RIGHT", "bold green") if report.ok else text("WRONG", "bold red")
    title.append(f"  {task.algorithm} on {task.problem.name}, seed {task.seed}: ")
    stages = sum(update.stages for update in report.updates)
    title.append(f"{stages} stages in {len(report.updates)} updates, {seconds:.1f} s")
    found += [Text(), *wrapped(title, width)]
    for update in report.updates:
        for call in update.calls:
            for judgement in call.lockstep.judgements:
                if not judgement.ok:
                    told = f"update {update.number}: {call.function}: {judgement.sentence}"
                    found += wrapped(text(told, "red"), width, 2)
    for kind, passing in report.vacuous.items():
        told = f"{kind}: its bounds let pass {', '.join(passing)}"
        found += wrapped(text(told, "magenta"), width, 2)
    return found


def _cells(update: Update) -> list[Text]:
    call, judgement = update.worst
    style = "green" if judgement.ok else "bold red"
    return [
        text(str(update.number)),
        text(str(update.stages)),
        text(call.told(judgement)),
        text(judgement.grade, style),
        text(counted(judgement.worst).removesuffix(" bounds"), style),
        text(judgement.where or "-"),
        text(f"{update.apart:.1e}"),
    ]
