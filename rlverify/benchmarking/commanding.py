"""Commanding: `rlverify compare` and `rlverify bench`, once their words are understood."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlverify.benchmarking import conservation, illustration
from rlverify.benchmarking.contesting import contest, refuse_shapes
from rlverify.benchmarking.measurement import Row, measured
from rlverify.benchmarking.reporting import (
    comparison_lines,
    comparison_record,
    machine_lines,
    move_lines,
    row_lines,
)
from rlverify.contract import Contract
from rlverify.contracts import contracts, find
from rlverify.examination import refuse_unknown
from rlverify.machine import refuse_device
from rlverify.peers import peer_of
from rlverify.preparation import usage
from rlverify.presentation import Desk
from rlverify.tabulation import text

NO_PICTURES = "no pictures: matplotlib is missing; pip install 'rlverify[plots]' brings it"


def shapes_of(given: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the sizes that words such as `128x4096` stand for.

    Raises:
        ValueError: one stands for none.
    """
    found = []
    for word in given:
        parts = word.split("x")
        if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
            raise ValueError(f"--sizes came with {word!r}, wanted sizes such as 2048x8.")
        found.append(tuple(map(int, parts)))
    return found


def _named(words: str, contract: str) -> tuple[str, str | None]:
    """Return the target that words name, and how it is called where words alone say that."""
    if not words.startswith("peer:"):
        return words, None
    peer = peer_of(words, contract)
    return peer.target, peer.call


def compare(
    desk: Desk, old: str, new: str, name: str, *, sizes: Sequence[str], strict: bool, **options: Any
) -> bool:
    """Tell whether one function may take the place of another; return whether it may."""
    with usage(), desk.progression(1) as progress:
        (old, called), (new, newly) = (_named(each, name) for each in (old, new))
        calls = options.pop("calls")
        options["calls"] = (calls[0] or called, calls[1] or newly)
        found = contest(old, new, name, sizes=shapes_of(sizes), **options, advance=progress.step)
        progress.done(f"{new}: {found.verdict}")
    ok = found.ok and not (strict and found.verdict == "INCONCLUSIVE")
    asked = {"old": old, "new": new, "contract": name, "sizes": sizes, "strict": strict, **options}
    desk.write(asked, [comparison_record(found)], ok=ok)
    desk.say(comparison_lines(found, options["threshold"], desk.width))
    return ok


def bench(
    desk: Desk,
    names: Sequence[str],
    *,
    device: str,
    dtype: str,
    peers: bool,
    sizes: Sequence[str],
    seconds: float,
    threads: int,
    save: bool,
    folder: Path,
    against: Path | None,
    plots: Path | None,
) -> bool:
    """Time every fast version beside its floor; return whether all that was timed is right."""
    with usage():
        wanted = [find(name) for name in dict.fromkeys(names)] if names else list(contracts())
        chosen = [contract for contract in wanted if contract.fast is not None]
        if names and not chosen:
            raise ValueError(f"{names[0]} has no fast version: {wanted[0].fast_absent}")
        refuse_device(device)
        refuse_unknown(wanted[0], (), dtype)
        shapes = shapes_of(sizes)
        for contract in chosen if shapes else []:
            refuse_shapes(contract, shapes)
        earlier = None if against is None else conservation.load(against)
    if plots is not None and not illustration.can_draw():
        desk.say([text(NO_PICTURES)])
        plots = None
    start, rows, remarks = time.perf_counter(), list[Row](), dict[str, None]()
    how: dict[str, Any] = {
        "dtype": dtype, "device": device, "peers": peers, "seconds": seconds,
        "threads": threads, "tell": lambda line: remarks.setdefault(line),
    }  # fmt: skip
    where = conservation.description(device, threads, dtype)
    with desk.progression(len(chosen)) as progress:
        for contract in chosen:
            progress.step(contract.name)
            rows += measured(contract, shapes=shapes, **how)
            if plots is not None:
                _pictures(plots, contract, how, f"{where['processor']}, {dtype}")
            progress.done(contract.name)
    took = time.perf_counter() - start
    ok = not any(row.problem for row in rows if not _foreign(row))
    asked = {"names": [c.name for c in chosen], "device": device, "dtype": dtype, "peers": peers,
             "sizes": sizes, "seconds": seconds, "threads": threads}  # fmt: skip
    records = [conservation.row_record(row) for row in rows]
    desk.write(asked, records, ok=ok, machine=where, remarks=list(remarks))
    desk.say(row_lines(rows, desk.width))
    desk.say(text(remark) for remark in remarks)
    desk.say(machine_lines(where, took, desk.width))
    if earlier is not None:
        _tell_moves(desk, where, rows, earlier)
    if save:
        desk.say([text(f"saved to {conservation.save(folder, where, asked, rows)}")])
    return ok


def _foreign(row: Row) -> bool:
    """Whether a row is about another library, whose mistakes are not this one's."""
    return row.runner.split(" ")[0] not in ("fast", "reference")


def _pictures(folder: Path, contract: Contract, how: dict[str, Any], where: str) -> None:
    found = {
        name: list(measured(contract, shapes=shapes, reference=False, **how))
        for name, shapes in illustration.sweeps(contract).items()
    }
    if found:
        illustration.draw(folder, contract, found, where)


def _tell_moves(
    desk: Desk, where: dict[str, Any], rows: Sequence[Row], earlier: conservation.Earlier
) -> None:
    if difference := conservation.unlike(where, earlier.machine):
        desk.say([text(""), text(f"not compared, the machines differ: {difference}", "yellow")])
        return
    before, now = earlier.machine.get("versions", {}), where["versions"]
    other = [f"{name} {before.get(name)} -> {now[name]}" for name in now]
    other = [told for told, name in zip(other, now, strict=True) if now[name] != before.get(name)]
    desk.say(move_lines(*conservation.moves(rows, earlier), desk.width))
    if other:
        desk.say([text(f"other versions: {', '.join(other)}", "yellow")])
