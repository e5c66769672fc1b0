"""The command line: understands words, calls `rlverify.commanding`, answers with a status.

    0    all holds
    1    something is wrong
    2    bad usage, told in one line
    130  interrupted

What is slow to import (PyTorch, above all) is imported by the commands that need it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import rlverify
from rlverify.benchmarking.invocation import bench, compare
from rlverify.invocation import Budget, Json, Names, NoColor, Seed, desk_for, status_of
from rlverify.preparation import Usage, tasks, usage
from rlverify.settings import fraction, read_settings

app = typer.Typer(
    name="rlverify",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
BAD_USAGE, INTERRUPTED = 2, 130


def _version(given: bool) -> None:
    if given:
        print(f"rlverify {rlverify.__version__}")
        raise typer.Exit


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
        return BAD_USAGE
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
    desk = desk_for(context, json)
    with usage():
        settings = read_settings()
    from rlverify import commanding

    cases = commanding.drawn(budget, settings.budget)
    start = seed if seed is not None else settings.seed or 0
    return status_of(commanding.verify(desk, names or [], dtype or [], device, cases, start))


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
        str | None, typer.Option("--as", metavar="NAME", help="What it is meant to be, as gae.")
    ] = None,
    call: Annotated[
        str | None,
        typer.Option(metavar='"F(...)"', help="How it is called, where names do not say."),
    ] = None,
    arrays: Annotated[
        str | None, typer.Option(metavar="LIBRARY", help="numpy, torch or jax.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(metavar="LAYOUT", help="time-major, batch-major, columns or rows."),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(metavar="DTYPE", help="If not set, the widest it computes in.")
    ] = None,
    budget: Budget = None,
    seed: Seed = None,
    convention: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="A reading under which it is right; repeatable."),
    ] = None,
    factor: Annotated[
        str | None, typer.Option(metavar="1/2", help="A constant factor that it is meant to have.")
    ] = None,
    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.001, help="Seconds that one call may take.")
    ] = 10.0,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Judge a function of yours; if it is wrong, name the mistake."""
    desk = desk_for(context, json)
    with usage():
        settings = read_settings()
        chosen = tasks(
            settings, target,
            contract=contract, call=call, arrays=arrays, layout=layout, dtype=dtype,
            conventions=tuple(convention or ()),
            factor=None if factor is None else fraction(factor),
        )  # fmt: skip
    from rlverify import commanding

    cases = commanding.drawn(budget, settings.budget)
    start = seed if seed is not None else settings.seed or 0
    return status_of(commanding.check(desk, chosen, cases, start, time_limit))


@app.command()
def bias(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="An estimator of the table, MODULE:FUNCTION or FILE.py:FUNCTION; the table alone "
            "if none is given.",
        ),
    ] = None,
    family: Annotated[
        str,
        typer.Option(
            metavar="FAMILY", help="Which table: policy-gradient, grpo's variants, or off-policy."
        ),
    ] = "policy-gradient",
    mdp: Annotated[
        str | None,
        typer.Option(metavar="PROCESS", help="Such as 'corridor(3)', FILE.npz or FILE.json."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="POLICY", help="slanted, uniform, FILE.npy or FILE.json.")
    ] = None,
    behaviour: Annotated[
        str | None, typer.Option(metavar="POLICY", help="The policy that acts, if it is another.")
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(metavar="H", min=1, help="Number of steps, 3; grpo 2, off-policy 4."),
    ] = None,
    gamma: Annotated[
        str | None, typer.Option(metavar="1/2", help="Discount, 1/2; grpo 1, off-policy 9/10.")
    ] = None,
    lam: Annotated[
        str | None,
        typer.Option(metavar="1/2", help="λ of advantages, 1/2, or of off-policy returns, 1."),
    ] = None,
    rho_bar: Annotated[
        str | None, typer.Option(metavar="1", help="ρ̄ of V-trace, or inf; 1.")
    ] = None,
    c_bar: Annotated[str | None, typer.Option(metavar="1", help="c̄ of V-trace, or inf; 1.")] = None,
    batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Trajectories in a batch, 4.")
    ] = None,
    critic: Annotated[
        str | None,
        typer.Option(metavar="CRITIC", help="exact, zero, +1/2 (exact plus that), or a file."),
    ] = None,
    bootstrap: Annotated[
        bool, typer.Option("--bootstrap", help="The horizon is a time limit, not an end.")
    ] = False,
    rational: Annotated[
        bool | None,
        typer.Option("--rational/--float", help="Fractions or floats; if not set, as it can be."),
    ] = None,
    aim: Annotated[
        str | None,
        typer.Option(
            metavar="TARGET",
            help="gradient, field (without γᵗ) or undiscounted; of off-policy returns policy, or "
            "clipped (what V-trace learns).",
        ),
    ] = None,
    call: Annotated[
        str | None,
        typer.Option(metavar='"F(...)"', help="How it is called, where names do not say."),
    ] = None,
    arrays: Annotated[
        str | None, typer.Option(metavar="LIBRARY", help="numpy, torch or jax.")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(metavar="LAYOUT", help="time-major, batch-major, columns or samples."),
    ] = None,
    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.001, help="Seconds that one call may take.")
    ] = 10.0,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Tell exactly how biased a gradient or an off-policy return is."""
    desk = desk_for(context, json)
    from rlverify.biasing import commanding

    return status_of(
        commanding.run(
            desk, target,
            family=family, mdp=mdp, policy=policy, behaviour=behaviour, horizon=horizon,
            gamma=gamma, lam=lam, rho_bar=rho_bar, c_bar=c_bar, batch=batch, critic=critic,
            bootstrap=bootstrap, exact=rational, aim=aim, call=call, arrays=arrays,
            layout=layout, time_limit=time_limit,
        )
    )  # fmt: skip


@app.command()
def explain(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The estimator, such as gae.")],
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Tell what an estimator is and what people get wrong."""
    desk = desk_for(context, json)
    from rlverify import commanding

    return status_of(commanding.explain(desk, name))


@app.command("list")
def list_(context: typer.Context, json: Json = None, no_color: NoColor = False) -> int:
    """List the estimators there are."""
    desk = desk_for(context, json)
    from rlverify.indexing import show_index

    return status_of(show_index(desk))


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
    desk = desk_for(context, json)
    with usage():
        settings = read_settings()
    from rlverify import commanding

    cases = commanding.drawn(budget, settings.budget)
    start = seed if seed is not None else settings.seed or 0
    return status_of(commanding.mutants(desk, names or [], cases, start))


@app.command()
def train(
    context: typer.Context,
    algorithm: Annotated[
        str,
        typer.Argument(
            metavar="ALGORITHM", help="reinforce, a2c, trpo, ppo, grpo, dqn, q_learning."
        ),
    ],
    environment: Annotated[
        str,
        typer.Argument(metavar="ENVIRONMENT", help="Gymnasium's, as CartPole-v1; tokens for grpo."),
    ],
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Steps of the environments, at most; see docs."),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Everything random follows from it.")
    ] = 0,
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting; repeatable."),
    ] = None,
    settings: Annotated[
        bool, typer.Option("--settings", help="Show all settings and run nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="For what is saved; runs/ALGORITHM-ENVIRONMENT-SEED if not set."
        ),
    ] = None,
    save_every: Annotated[
        int, typer.Option(metavar="N", min=1, help="Steps between two saves.")
    ] = 10_000,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is saved there.")
    ] = False,
    target: Annotated[
        float | None,
        typer.Option(metavar="R", help="Mean return of the last 100 episodes that is wanted."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=".svg or .png; curve.svg beside the save if not set."),
    ] = None,
    lockstep: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Judge N updates beside the reference instead."),
    ] = None,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Train a policy with the suite's own functions."""
    desk = desk_for(context, json)
    from rlverify.training import commanding

    if lockstep is not None:
        from rlverify.training import accompanying

        accompanying.refuse(steps=steps, out=out, resume=resume, target=target, picture=picture)
        asked = (given or [], seed, lockstep)
        return status_of(accompanying.run(desk, algorithm, environment, *asked))
    if settings:
        return status_of(commanding.describe(desk, algorithm, environment, given or []))
    return status_of(
        commanding.run(
            desk, algorithm, environment,
            given=given or [], steps=steps, seed=seed, out=out, save_every=save_every,
            resume=resume, target=target, picture=picture,
        )
    )  # fmt: skip


app.command()(bench)
app.command()(compare)


# --- the entry point -----------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without γ is no reason to fail
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
    return BAD_USAGE
