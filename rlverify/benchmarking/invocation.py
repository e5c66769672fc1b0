"""Invocation: the words of `rlverify compare` and `rlverify bench`."""

from pathlib import Path
from typing import Annotated

import typer

from rlverify.invocation import Json, Names, NoColor, Seed, desk_for, status_of
from rlverify.preparation import usage
from rlverify.settings import read_settings

Device = Annotated[str, typer.Option(metavar="DEVICE", help="Where PyTorch's functions run.")]
Sizes = Annotated[
    list[str] | None,
    typer.Option(metavar="2048x8", help="A size; repeatable. If not set, the estimator's own."),
]


def compare(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="OLD", help="MODULE:FUNCTION or FILE.py:FUNCTION.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="What is to take its place.")],
    contract: Annotated[
        str, typer.Option("--as", metavar="NAME", help="What both are meant to be, as gae.")
    ],
    call: Annotated[
        str | None,
        typer.Option(metavar='"F(...)"', help="How both are called, where names do not say."),
    ] = None,
    new_call: Annotated[
        str | None,
        typer.Option(metavar='"F(...)"', help="How the new one is called, if otherwise."),
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
        typer.Option(metavar="DTYPE", help="If not set, float32; float64 for NumPy."),
    ] = None,
    convention: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="A reading under which both are right."),
    ] = None,
    sizes: Sizes = None,
    threshold: Annotated[
        float, typer.Option(metavar="R", help="The smallest ratio of times that matters.")
    ] = 1.05,
    rounds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rounds at a size, at most.")
    ] = 256,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="For a size, once it was looked at.")
    ] = 20.0,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Threads that each may use.")
    ] = 1,
    strict: Annotated[
        bool, typer.Option("--strict", help="INCONCLUSIVE does not pass either.")
    ] = False,
    time_limit: Annotated[
        float, typer.Option(metavar="S", min=0.001, help="Seconds that one call may take.")
    ] = 10.0,
    budget: Annotated[
        int, typer.Option(metavar="N", min=1, help="Cases that each is judged on.")
    ] = 100,
    seed: Seed = None,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Tell whether a new version is right, and really faster."""
    desk = desk_for(context, json)
    with usage():
        settings = read_settings()
    from rlverify.benchmarking import commanding
    from rlverify.benchmarking.inference import LOOKS

    return status_of(
        commanding.compare(
            desk, old, new, contract,
            sizes=sizes or [], strict=strict, calls=(call, new_call or call), arrays=arrays,
            layout=layout, dtype=dtype, conventions=tuple(convention or ()), threshold=threshold,
            looks=(*(look for look in LOOKS if look < rounds), rounds), seconds=seconds,
            threads=threads, time_limit=time_limit, budget=budget,
            seed=seed if seed is not None else settings.seed or 0,
        )
    )  # fmt: skip


def bench(
    context: typer.Context,
    names: Names = None,
    device: Device = "cpu",
    dtype: Annotated[str, typer.Option(metavar="DTYPE", help="Of the inputs.")] = "float32",
    peers: Annotated[
        bool, typer.Option("--peers", help="Time other libraries too, those that are installed.")
    ] = False,
    sizes: Sizes = None,
    seconds: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="For each runner at each size.")
    ] = 0.1,
    threads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Threads that each may use.")
    ] = 1,
    save: Annotated[
        bool, typer.Option("--save", help="Keep the results, with the machine they are of.")
    ] = False,
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where --save keeps them.")] = Path(
        "benchmarks/results"
    ),
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tell what moved since those results were saved."),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Draw how times grow, as SVG and PNG."),
    ] = None,
    json: Json = None,
    no_color: NoColor = False,
) -> int:
    """Time every fast version beside the machine's limit, judged first."""
    desk = desk_for(context, json)
    from rlverify.benchmarking import commanding

    return status_of(
        commanding.bench(
            desk, names or [],
            device=device, dtype=dtype, peers=peers, sizes=sizes or [], seconds=seconds,
            threads=threads, save=save, folder=folder, against=against, plots=plots,
        )
    )  # fmt: skip
