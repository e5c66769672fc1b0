"""Illustration: how times grow with steps, columns, parameters or elements, as pictures."""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rlverify.benchmarking.measurement import Row
from rlverify.benchmarking.production import timed_shapes
from rlverify.contract import Contract
from rlverify.serialization import write_atomically

SUFFIXES = ("svg", "png")
STEPS = (8, 32, 128, 512, 2048)
COLUMNS = (1, 8, 64, 512, 4096)
WIDTHS = (8, 32, 128, 512)


def sweeps(contract: Contract) -> dict[str, list[tuple[int, ...]]]:
    """Return the sizes along which a contract's time is drawn, by what grows."""
    shapes = timed_shapes(contract)
    two = [shape for shape in shapes if len(shape) == 2]
    if contract.first.axes in ("T B", "B L") and len(two) == len(shapes):
        down, across = contract.first.axes.split()
        return {down: [(n, 8) for n in STEPS], across: [(128, n) for n in COLUMNS]}
    if any(item.kind == "sizes" for item in contract.arguments) and len(shapes[0]) > 3:
        layers = shapes[0]
        hidden = len(layers) - 3  # inputs, features, hidden ..., results
        return {"width": [(*layers[:2], *[n] * hidden, layers[-1]) for n in WIDTHS]}
    return {"elements": list(shapes)} if len(shapes) > 1 else {}


def along(name: str, shape: tuple[int, ...], contract: Contract) -> int:
    """Return how far along a sweep a size lies."""
    if name == "width":
        return shape[2]
    if name in contract.first.axes.split():
        return shape[contract.first.axes.split().index(name)]
    product = 1
    for length in shape:
        product *= length
    return product


def can_draw() -> bool:
    """Tell whether matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def lines_of(
    rows: Sequence[Row], name: str, contract: Contract
) -> Iterator[tuple[str, list[int], list[float]]]:
    """Yield each runner with the places where it was timed, and its times; then the floor."""
    for runner in dict.fromkeys(row.runner for row in rows):
        own = [row for row in rows if row.runner == runner and row.timing is not None]
        own.sort(key=lambda row: along(name, row.shape, contract))
        if own:
            seconds = [row.timing.seconds for row in own if row.timing is not None]
            yield runner, [along(name, row.shape, contract) for row in own], seconds
    floor = {along(name, row.shape, contract): row for row in rows if row.runner == "fast"}
    if floor:
        kind = next(iter(floor.values())).floor
        places = sorted(floor)
        yield f"floor: {kind}", places, [floor[place].least for place in places]


def draw(
    folder: Path, contract: Contract, found: Mapping[str, Sequence[Row]], where: str
) -> list[Path]:
    """Write the pictures of one contract, one plot a sweep; return the files."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # the same results give the same file: no date, and names that do not depend on chance
    with rc_context({"svg.hashsalt": "rlverify", "svg.fonttype": "none"}):
        figure = Figure(figsize=(6 * len(found), 4), layout="constrained")
        for i, (name, rows) in enumerate(found.items()):
            axes = figure.add_subplot(1, len(found), i + 1)
            for label, places, seconds in lines_of(rows, name, contract):
                style = "--" if label.startswith("floor") else "-"
                axes.loglog(places, seconds, style, marker=".", label=label)
            axes.set_xlabel(name)
            axes.set_ylabel("seconds a call")
            axes.grid(visible=True, which="major", alpha=0.3)
            axes.legend(loc="best", frameon=False, fontsize="small")
        figure.suptitle(f"{contract.name}, {where}", fontsize="small")
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for kind in SUFFIXES:
            file = io.BytesIO()
            dateless = {"Date": None} if kind == "svg" else {"Software": None}
            figure.savefig(file, format=kind, dpi=150, metadata=dateless)
            paths.append(folder / f"{contract.name}.{kind}")
            write_atomically(paths[-1], file.getvalue())
    return paths
