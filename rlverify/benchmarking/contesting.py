"""Contesting: is the new version of a function right, and is it faster?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rlverify.benchmarking.contention import Clock, Contender, Foul, twin_truth
from rlverify.benchmarking.inference import LOOKS, THRESHOLD, overall
from rlverify.benchmarking.pairing import Race, race
from rlverify.benchmarking.production import elements, fresh_case, timed_shapes
from rlverify.calling import Candidate
from rlverify.checking import drawn_cases
from rlverify.contract import Contract
from rlverify.contracts import find
from rlverify.examination import open_candidate, refuse_unknown
from rlverify.judging import Verdict, judge

BUDGET = 100
SIZES = 3  # so many of a contract's sizes are timed unless told otherwise
SECONDS = 20.0


@dataclass(frozen=True)
class Size:
    """What came of one size.

    Attributes:
        shape: of the inputs.
        elements: how many there are.
        race: the rounds.
    """

    shape: tuple[int, ...]
    elements: int
    race: Race


@dataclass(frozen=True)
class Comparison:
    """What `rlverify compare` found out.

    Attributes:
        contract: what both are held to.
        verdict: `FASTER`, `SLOWER`, `SAME`, `INCONCLUSIVE` or `WRONG`.
        names: of the old and the new one.
        verdicts: what the contract says about them.
        dtype: in which they were judged and timed.
        sizes: what was timed.
        foul: what could not be timed and why; empty where nothing was wrong.
    """

    contract: str
    verdict: str
    names: tuple[str, str]
    verdicts: tuple[Verdict, ...]
    dtype: str
    sizes: tuple[Size, ...] = ()
    foul: str = ""

    @property
    def ok(self) -> bool:
        """Whether the new one may take the place of the old one."""
        return self.verdict in ("FASTER", "SAME", "INCONCLUSIVE")


def contest(
    old: str,
    new: str,
    name: str,
    *,
    calls: Sequence[str | None] = (None, None),
    arrays: str | None = None,
    layout: str | None = None,
    dtype: str | None = None,
    conventions: Sequence[str] = (),
    sizes: Sequence[tuple[int, ...]] = (),
    threshold: float = THRESHOLD,
    looks: Sequence[int] = LOOKS,
    seconds: float = SECONDS,
    budget: int = BUDGET,
    seed: int = 0,
    threads: int = 1,
    time_limit: float = 10.0,
    advance: Callable[[str], None] = lambda step: None,
) -> Comparison:
    """Judge two functions by the contract `name`, then time them beside each other.

    Args:
        old: names a function, as `MODULE:FUNCTION` or `FILE.py:FUNCTION`.
        new: names the one that is to take its place.
        name: the contract.
        calls: how each is called, where names do not say.
        arrays: `numpy`, `torch` or `jax`, where that should not be found out.
        layout: as for `rlverify.check`.
        dtype: by default float32 for torch and JAX, float64 for NumPy.
        conventions: declared readings under which both are right.
        sizes: shapes; by default some of the contract's.
        threshold: the smallest ratio of times that matters.
        looks: after how many rounds a verdict is sought.
        seconds: for the rounds of a size, once there was a look.
        budget: number of drawn cases that each is judged on.
        seed: of the cases, the inputs and the order of calls.
        threads: of PyTorch and of numerical libraries.
        time_limit: seconds for one call.
        advance: told of every step.

    Raises:
        ValueError: something cannot be done as asked.
    """
    contract = find(name)
    refuse_unknown(contract, conventions, dtype)
    if not threshold > 1:
        raise ValueError(f"--threshold came as {threshold:g}, wanted a ratio above 1, as 1.05.")
    shapes = tuple(sizes) or timed_shapes(contract)[:SIZES]
    refuse_shapes(contract, shapes)
    opened: list[tuple[Candidate, str]] = []
    try:
        for target, call in zip((old, new), calls, strict=True):
            advance(f"{target}: opening")
            how: dict[str, Any] = {"call": call, "arrays": arrays, "layout": layout}
            opened.append(open_candidate(target, contract, **how, time_limit=time_limit))
        candidates = [candidate for candidate, _ in opened]
        chosen = dtype or _dtype(candidates)
        cases = [*drawn_cases(contract, budget, seed), *contract.long_cases]
        verdicts = []
        for (candidate, run), target in zip(opened, (old, new), strict=True):
            advance(f"{target}: judging")
            verdicts.append(
                judge(contract, candidate, cases, chosen, target=run, conventions=conventions)
            )
        told = Comparison(contract.name, "WRONG", (old, new), tuple(verdicts), chosen)
        if not all(verdict.ok for verdict in verdicts):
            return told
        how = {
            "threshold": threshold, "looks": looks, "seconds": seconds, "seed": seed,
        }  # fmt: skip
        return _timed(told, contract, candidates, shapes, how, threads, time_limit, advance)
    finally:
        for candidate, _ in opened:
            candidate.close()


def _dtype(candidates: Sequence[Candidate]) -> str:
    """Return the dtype that both are usually run in."""
    narrow = all(candidate.arrays != "numpy" for candidate in candidates)
    return "float32" if narrow else "float64"


def refuse_shapes(contract: Contract, shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuse sizes that a contract has no inputs for.

    Raises:
        ValueError: with one that it has.
    """
    if not shapes:
        raise ValueError(f"{contract.name} has no sizes to be timed at.")
    like = timed_shapes(contract)[0]
    for shape in shapes:
        try:
            if min(shape) < 1:
                raise ValueError
            case = fresh_case(contract, shape, 0)
            if contract.fast is not None and twin_truth(contract)(case) is None:
                raise ValueError
        except (ValueError, IndexError, TypeError):
            raise ValueError(
                f"--sizes {'x'.join(map(str, shape))}: {contract.name} has no inputs of that "
                f"size; one like {'x'.join(map(str, like))} is wanted."
            ) from None


def _timed(
    told: Comparison,
    contract: Contract,
    candidates: Sequence[Candidate],
    shapes: Sequence[tuple[int, ...]],
    how: dict[str, Any],
    threads: int,
    time_limit: float,
    advance: Callable[[str], None],
) -> Comparison:
    """Run the rounds of every size; what is foul ends them."""
    found: list[Size] = []
    contenders: list[Contender] = []
    record = dict(vars(told))
    try:
        for which in (0, 0, 1):
            target = told.names[which]
            advance(f"{target}: starting")
            contenders.append(Contender(target, target, candidates[which], contract, threads))
        for shape in shapes:
            advance(f"timing at {'x'.join(map(str, shape))}")
            clock = Clock(contenders, contract, shape, told.dtype, how["seed"], time_limit)
            raced = race(clock, **how)
            count = elements(contract, fresh_case(contract, shape, 0))
            found.append(Size(shape, count, raced))
        verdict = overall([size.race.verdict for size in found])
        return Comparison(**{**record, "verdict": verdict, "sizes": tuple(found)})
    except Foul as foul:
        return Comparison(**{**record, "sizes": tuple(found), "foul": str(foul)})
    finally:
        for contender in contenders:
            contender.close()
