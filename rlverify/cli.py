"""The command line: parses, calls, prints, and answers with an exit status.

    0   all holds
    1   something is wrong
    2   bad usage, told in one line
    130 interrupted

What is slow to import (PyTorch, above all) is imported by the commands that need it.
"""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import rlverify
from rlverify.preparation import check_names, completed, refuse_unknown_checks, tasks
from rlverify.settings import fraction, read_settings

if TYPE_CHECKING:
    from rich.console import Console

    from rlverify.contract import Contract

app = typer.Typer(
    name="rlverify",
    help="Finds the bug in a reinforcement-learning estimator, and names it.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
INTERRUPTED = 130


class Usage(ValueError):
    """A command was used wrongly; its text is the one line that the user reads."""


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Take refusals of what the user asked for as bad usage."""
    try:
        yield
    except ValueError as error:
        raise Usage(str(error)) from error


# --- options that commands share -----------------------------------------------------------------


def _no_color(context: typer.Context, given: bool) -> None:
    if given:
        context.color = False  # commands below the one that it is given to inherit it


def _version(given: bool) -> None:
    if given:
        print(f"rlverify {rlverify.__version__}")
        raise typer.Exit


NoColor = Annotated[
    bool,
    typer.Option("--no-color", help="Print no colours; so does NO_COLOR.", callback=_no_color),
]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the results to FILE as JSON.")
]
Budget = Annotated[
    int | None,
    typer.Option("--budget", metavar="N", min=1, help="Number of drawn cases.", show_default=False),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of the draws; 0 if not set.")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", help="Estimators; all of them if none is named."),
]


def _screens(context: typer.Context) -> "tuple[Console, Console]":
    """Return standard output and standard error."""
    from rlverify.tabulation import console

    colour = context.color is not False
    return console(sys.stdout, colour=colour), console(sys.stderr, colour=colour)


def _ready_to_write(json: Path | None) -> None:
    if json is not None:
        from rlverify.serialization import refuse_unwritable

        with usage():
            refuse_unwritable(json)


def _write(
    json: Path | None,
    context: typer.Context,
    arguments: dict[str, Any],
    results: Sequence[Any],
    *,
    ok: bool = True,
    **more: Any,
) -> None:
    if json is not None:
        from rlverify.serialization import document, write_atomically

        text = document(str(context.info_name), arguments, results, ok=ok, **more)
        write_atomically(json, text)


def _contracts(names: Sequence[str] | None) -> "list[Contract]":
    from rlverify.contracts import contracts, find

    with usage():
        return [find(name) for name in dict.fromkeys(names)] if names else list(contracts())


# --- commands ------------------------------------------------------------------------------------


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    no_color: NoColor = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> int:
    """Finds the bug in a reinforcement-learning estimator, and names it."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        return 2
    return 0


@app.command()
def verify(
    context: typer.Context,
    names: Names = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(metavar="DTYPE", help="Repeatable; if not set, float64 and float32."),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Where the fast versions run.")
    ] = "cpu",
    budget: Budget = None,
    seed: Seed = None,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Judge the suite itself: every estimator, fast against reference."""
    _ready_to_write(json)
    with usage():
        settings = read_settings()
    from rlverify import reporting, tabulation, verifying
    from rlverify.judging import BUDGET, refuse_unknown
    from rlverify.machine import machine, refuse_device
    from rlverify.progression import Progression
    from rlverify.serialization import row_record

    chosen = _contracts(names)
    dtypes = list(dict.fromkeys(dtype or verifying.DTYPES))
    with usage():
        for name in dtypes:
            refuse_unknown(chosen[0], (), name)
        refuse_device(device)
        if names and (alone := [c for c in chosen if c.fast is None]):
            raise ValueError(f"{alone[0].name} has no fast version: {alone[0].fast_absent}.")
    chosen = [contract for contract in chosen if contract.fast is not None]
    asked = {
        "names": [contract.name for contract in chosen],
        "dtypes": dtypes,
        "device": device,
        "budget": budget or settings.budget or BUDGET,
        "seed": _first(seed, settings.seed, 0),
    }
    screen, errors = _screens(context)
    start, rows = time.perf_counter(), []
    with Progression(errors, len(chosen)) as progress:
        for row in verifying.rows(
            chosen,
            dtypes=dtypes,
            budget=asked["budget"],
            seed=asked["seed"],
            device=device,
            advance=progress.step,
        ):
            rows.append(row)
            if row.verdict.dtype == dtypes[-1]:
                right = all(each.ok for each in rows if each.contract == row.contract)
                progress.done(f"{row.contract}: {'ok' if right else 'not ok'}")
    seconds, found = time.perf_counter() - start, machine(device)
    ok = all(row.ok for row in rows)
    _write(
        json, context, asked, [row_record(r) for r in rows], ok=ok, machine=found, seconds=seconds
    )
    width = tabulation.room_of(screen)
    tabulation.show(screen, reporting.row_lines(rows, found, seconds, width))
    return 0 if ok else 1


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


@app.command()
def check(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="MODULE:FUNCTION, FILE.py:FUNCTION, or a candidate of [tool.rlverify.candidates]; "
            "all of these if none is given.",
        ),
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="What it is meant to be, such as gae."),
    ] = None,
    call: Annotated[
        str | None,
        typer.Option(
            metavar='"F(...)"', help="How it is called, where its argument names do not say."
        ),
    ] = None,
    arrays: Annotated[
        str | None, typer.Option(metavar="LIBRARY", help="numpy, torch or jax.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(metavar="LAYOUT", help="time-major, batch-major, columns or rows."),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(metavar="DTYPE", help="What it is judged in; if not set, the widest it has."),
    ] = None,
    budget: Budget = None,
    seed: Seed = None,
    convention: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="A reading under which it is right; repeatable."),
    ] = None,
    factor: Annotated[
        str | None,
        typer.Option(metavar="1/2", help="A constant factor that it is meant to have."),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.001, help="Seconds that one call may take.")
    ] = 10.0,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Judge a function of yours; if it is wrong, name the mistake."""
    _ready_to_write(json)
    with usage():
        settings = read_settings()
        chosen = tasks(
            settings, target,
            contract=contract, call=call, arrays=arrays, layout=layout, dtype=dtype,
            conventions=tuple(convention or ()),
            factor=None if factor is None else fraction(factor),
        )  # fmt: skip
    from rlverify import reporting, tabulation
    from rlverify.contracts import find
    from rlverify.judging import BUDGET, refuse_unknown
    from rlverify.progression import Progression
    from rlverify.serialization import verdict_record

    with usage():
        for task in chosen:
            known = find(task.contract)
            refuse_unknown(known, task.conventions, task.dtype)
            refuse_unknown_checks(f"{task.target}: excused", task.excused, check_names(known))
    asked = {
        "candidates": [vars(task) for task in chosen],
        "budget": budget or settings.budget or BUDGET,
        "seed": _first(seed, settings.seed, 0),
        "time_limit": time_limit,
    }
    screen, errors = _screens(context)
    verdicts = []
    with Progression(errors, len(chosen)) as progress:
        for task in chosen:
            how = {k: v for k, v in vars(task).items() if k not in ("target", "contract")}
            with usage():
                verdict = rlverify.check(
                    task.target, task.contract, **how,
                    budget=asked["budget"], seed=asked["seed"], time_limit=time_limit,
                    advance=lambda step, task=task: progress.step(f"{task.target}: {step}"),
                )  # fmt: skip
            said = {name: how[name] for name in ("call", "arrays", "layout")}
            program = completed(verdict.counterexample, said)
            verdicts.append(replace(verdict, counterexample=program))
            progress.done(f"{task.target}: {'ok' if verdict.ok else 'not ok'}")
    ok = all(verdict.ok for verdict in verdicts)
    _write(json, context, asked, [verdict_record(verdict) for verdict in verdicts], ok=ok)
    width = tabulation.room_of(screen)
    for i, verdict in enumerate(verdicts):
        lines = reporting.verdict_lines(verdict, width)
        tabulation.show(screen, [*([tabulation.text("")] if i else []), *lines])
    return 0 if ok else 1


@app.command()
def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The estimator, such as gae.")],
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Tell what an estimator is and what people get wrong."""
    _ready_to_write(json)
    from rlverify import reporting, tabulation
    from rlverify.serialization import contract_record

    (found,) = _contracts([name])
    screen, _ = _screens(context)
    width = min(tabulation.room_of(screen) or reporting.WIDTH, reporting.WIDTH)
    text = reporting.explanation(found, width)
    _write(json, context, {"name": name}, [{**contract_record(found), "text": text}])
    tabulation.show(screen, reporting.headed(text))
    return 0


@app.command("list")
def list_(context: typer.Context, json: Json = None, no_color: NoColor = False) -> int:
    """List the estimators there are."""
    _ready_to_write(json)
    from rlverify import tabulation
    from rlverify.indexing import index

    entries = index()
    screen, _ = _screens(context)
    columns = [tabulation.Column(title) for title in ("name", "topic", "summary")]
    rows = [[*map(tabulation.text, (item.name, item.topic, item.summary))] for item in entries]
    _write(json, context, {}, [vars(item) for item in entries])
    tabulation.show(screen, tabulation.table(columns, rows, tabulation.room_of(screen)))
    return 0


@app.command()
def mutants(
    context: typer.Context,
    names: Names = None,
    budget: Budget = None,
    seed: Seed = None,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Run every known bug against every check, and show what kills it."""
    _ready_to_write(json)
    with usage():
        settings = read_settings()
    from rlverify import reporting, tabulation
    from rlverify.checking import drawn_cases
    from rlverify.diagnosis import matrix
    from rlverify.judging import BUDGET, LAW_CASES
    from rlverify.progression import Progression
    from rlverify.serialization import left_out_record, matrix_record

    chosen = _contracts(names)
    asked = {
        "names": [contract.name for contract in chosen],
        "budget": budget or settings.budget or BUDGET,
        "seed": _first(seed, settings.seed, 0),
    }
    screen, errors = _screens(context)
    found = []
    with Progression(errors, len(chosen)) as progress:
        for contract in chosen:
            progress.step(contract.name)
            cases = drawn_cases(contract, asked["budget"], asked["seed"])
            found.append(matrix(contract, cases, LAW_CASES))
            progress.done(f"{contract.name}: {len(reporting.holes(found[-1])) or 'no'} holes")
    ok = not any(reporting.holes(each) for each in found)
    records = [{**matrix_record(each), "holes": reporting.holes(each)} for each in found]
    _write(json, context, asked, records, ok=ok, left_out=left_out_record())
    width = tabulation.room_of(screen)
    for each in found:
        tabulation.show(screen, [*reporting.matrix_lines(each, width), tabulation.text("")])
    tabulation.show(screen, reporting.left_out_lines(width))
    return 0 if ok else 1


# --- the entry point -----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # γ on a terminal that has no γ is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(args=arguments, prog_name="rlverify", standalone_mode=False)
    except Usage as refusal:
        return _refused(str(refusal))
    except KeyboardInterrupt:
        status = INTERRUPTED
    except Exception as error:
        # typer brings its own copy of click, whose errors are known by what they can do
        if not hasattr(error, "format_message"):
            raise
        return _refused(error.format_message())
    if status == INTERRUPTED:
        print("rlverify: interrupted", file=sys.stderr)
    return int(status or 0)


def _refused(problem: str) -> int:
    print(f"rlverify: error: {problem}", file=sys.stderr)
    return 2
