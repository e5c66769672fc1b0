"""`rlverify compare`: what is wrong or takes a short cut is not timed, and all of it is told."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from command_line import Run
from rlverify.benchmarking.contention import Contender, Foul
from rlverify.benchmarking.contesting import Comparison, contest
from rlverify.benchmarking.execution import Stopwatch
from rlverify.benchmarking.production import fresh_case, judged_shape, timed_shapes
from rlverify.contracts import contracts, find
from rlverify.examination import open_candidate

FILE = str(Path(__file__).parent / "strangers" / "cheating.py")
SHAPE = (40, 6)
TIMED = [contract for contract in contracts() if contract.fast is not None]
QUICK = {"sizes": [SHAPE], "budget": 10, "looks": (4,)}


@pytest.fixture(scope="module")
def honest() -> Iterator[object]:
    candidate, _ = open_candidate(f"{FILE}:honest", find("gae"))
    yield candidate
    candidate.close()


def foul_of(function: str, honest: object) -> str:
    """Return what is said of a function, all of which are called alike."""
    contract = find("gae")
    contender = Contender("it", f"{FILE}:{function}", honest, contract, 1)
    try:
        for number in range(3):
            cases = [fresh_case(contract, SHAPE, 3 * number + i) for i in range(3)]
            assert all(seconds > 0 for seconds in contender.times(cases, "float64", 10.0))
    except Foul as foul:
        return str(foul)
    finally:
        contender.close()
    return ""


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("honest", ""),
        ("caching", "answered a call with what an earlier call was right to answer"),
        ("by_address", "answered a call with what an earlier call was right to answer"),
        ("late", "answered a call with what an earlier call was right to answer"),
        ("buffered", "wrote to the result of an earlier call"),
        ("aliasing", "its result changed when its arguments were overwritten"),
        ("lazy", "right on small inputs, and wrong on some of shape (40, 6)"),
        ("quitting", "SystemExit"),
    ],
)
def test_short_cuts_are_told(function: str, told: str, honest: object):
    found = foul_of(function, honest)
    assert told in found
    assert bool(told) == bool(found)


def test_results_are_poisoned():
    """A function that hands out what it handed out before hands out NaN."""
    result = np.ones(3)
    watch = Stopwatch(lambda x: result)
    part = [[("x", np.zeros(3))]]
    first, _, third = (watch.time(part, 1, "numpy", "float64") for _ in range(3))
    assert np.array_equal(first["outcomes"][0]["leaves"][0]["array"], np.ones(3))
    assert np.isnan(third["outcomes"][0]["leaves"][0]["array"]).all()


def test_arguments_come_in_new_memory_and_in_old():
    places = []
    watch = Stopwatch(lambda x: places.append(x.ctypes.data) or x.sum(keepdims=True))
    for i in range(4):
        watch.time([[("x", np.full(100_000, float(i)))]], 1, "numpy", "float64")
    assert places[0] == places[1]
    assert places[2] == places[3]


@pytest.mark.parametrize("contract", TIMED, ids=lambda contract: contract.name)
def test_inputs_are_fresh(contract):
    """Another seed gives other inputs, the same seed the same."""
    shape = judged_shape(contract)
    keys = [fresh_case(contract, shape, seed).key() for seed in (1, 2, 1)]
    assert keys[0] == keys[2] != keys[1]


def test_sizes_come_in_order():
    for contract in contracts():
        sizes = [np.prod(shape) for shape in timed_shapes(contract)]
        assert sizes == sorted(sizes)


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return contest(f"{FILE}:honest", f"{FILE}:slower", "gae", **QUICK)


def test_a_comparison_in_earnest(compared: Comparison):
    """Twice the work takes twice the time, whatever else the machine does: well above 1.05."""
    (size,) = compared.sizes
    assert compared.foul == ""
    assert [verdict.ok for verdict in compared.verdicts] == [True, True]
    assert size.elements == 240
    assert size.race.ratio.ratio > 1.05
    assert min(size.race.seconds) > 0


def test_what_is_wrong_is_not_timed():
    found = contest(f"{FILE}:honest", f"{FILE}:wrong", "gae", **QUICK)
    assert found.verdict == "WRONG"
    assert not found.ok
    assert found.sizes == ()
    assert [verdict.ok for verdict in found.verdicts] == [True, False]


def test_a_foul_is_no_comparison():
    found = contest(f"{FILE}:honest", f"{FILE}:caching", "gae", **QUICK)
    assert found.verdict == "WRONG"
    assert "earlier call" in found.foul


def test_command(run: Run, tmp_path: Path):
    written = tmp_path / "found.json"
    ran = run(
        "compare", f"{FILE}:honest", f"{FILE}:honest", "--as", "gae", "--sizes", "40x6",
        "--rounds", "4", "--budget", "5", "--threshold", "1000", "--json", str(written),
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert "40x6" in ran.out
    told = json.loads(written.read_text())
    (result,) = told["results"]
    assert result["verdict"] == "SAME"
    assert result["sizes"][0]["rounds"] == 4
    assert set(result["sizes"][0]["seconds"]) == {"old", "again", "new"}


def test_wrong_ends_with_1(run: Run):
    ran = run(
        "compare", f"{FILE}:honest", f"{FILE}:wrong", "--as", "gae", "--sizes", "40x6",
        "--budget", "10",
    )  # fmt: skip
    assert ran.status == 1
    assert "WRONG" in ran.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--sizes", "8by4"], "wanted sizes such as 2048x8"),
        (["--sizes", "8x4x2"], "gae has no inputs of that size"),
        (["--threshold", "1"], "wanted a ratio above 1"),
        (["--convention", "axis=value"], "convention came as"),
    ],
)
def test_bad_usage(words: list[str], told: str, run: Run):
    ran = run("compare", f"{FILE}:honest", f"{FILE}:honest", "--as", "gae", *words)
    assert ran.status == 2
    assert told in ran.err
