"""`rlverify bench`: what is judged before it is timed, and what is told about times."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import Run
from rlverify.benchmarking import conservation, illustration, measurement
from rlverify.benchmarking.commanding import shapes_of
from rlverify.benchmarking.measurement import FAST, Row, Runner, chained, measured, problem_of
from rlverify.benchmarking.timing import Timing, in_turns, timing_of
from rlverify.contracts import contracts, find
from rlverify.fast.advantages import gae
from rlverify.peers import PEERS
from rlverify.verifying import timing_case

SMALL = (8, 2)
TIMED = [contract for contract in contracts() if contract.fast is not None]


def test_actions_are_timed_in_turns():
    """Time passes only while an action runs; each is run as often as the others."""
    passed, runs = 0.0, {"one": 0, "two": 0}

    def action(name: str, seconds: float):
        def run() -> None:
            nonlocal passed
            passed += seconds
            runs[name] += 1

        return run

    actions = {"one": action("one", 1.0), "two": action("two", 2.0)}
    found = in_turns(actions, seconds=0.0, clock=lambda: passed)
    assert found == {"one": Timing(1.0, 1.0, 1.0), "two": Timing(2.0, 2.0, 2.0)}
    assert runs["one"] == runs["two"]


def test_short_actions_are_repeated():
    ticks = itertools.count()
    calls = []
    in_turns(
        {"it": lambda: calls.append(next(ticks))}, seconds=0.0, clock=lambda: 1e-6 * len(calls)
    )
    assert len(calls) > 5 * 100


def test_median_and_interval():
    found = timing_of(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))
    assert found.seconds == 3.0
    assert found.low <= 3.0 <= found.high


def runner(function, name: str = FAST) -> Runner:
    return Runner(name, function, "torch", "float32", {})


def gae_problem(function) -> str:
    contract = find("gae")
    small, case = (timing_case(contract, shape) for shape in ((6, 2), (12, 3)))
    return problem_of(contract, runner(function), small, case, "cpu")


def test_what_is_right_has_no_problem():
    assert gae_problem(gae) == ""


def test_what_is_wrong_is_not_timed():
    assert "bounds from the truth" in gae_problem(lambda *a, **k: gae(**{**k, "lam": 0.5}))


def test_what_is_wrong_at_the_timed_size_is_not_timed():
    def late(rewards, **rest):
        found = gae(rewards, **rest)
        return found if len(rewards) < 8 else found._replace(advantages=0 * found.advantages)

    assert "wrong at this size" in gae_problem(late)


def test_what_raises_is_told():
    assert "raised" in gae_problem(lambda **given: 1 / 0)


def test_gradients_are_judged(monkeypatch: pytest.MonkeyPatch):
    contract = find("ppo_clip_loss")
    small = timing_case(contract, (6,))
    assert problem_of(contract, runner(contract.fast), small, small, "cpu") == ""
    monkeypatch.setattr(measurement, "worst_gradient", lambda *given: 3.0)
    told = problem_of(contract, runner(contract.fast), small, small, "cpu")
    assert told == "wrong: its gradient is 3 bounds from the truth"


def rows_of(name: str, **options) -> list[Row]:
    return list(measured(find(name), shapes=[SMALL], seconds=0.0, **options))


def test_rows():
    (row,) = rows_of("gae")
    assert (row.contract, row.shape, row.elements, row.runner) == ("gae", SMALL, 16, "fast")
    assert row.floor == "copy"
    assert row.problem == ""
    assert row.nanoseconds == 1e9 * row.timing.seconds / 16
    assert row.multiple == row.timing.seconds / row.least


def test_the_reference_is_timed_at_the_judged_size_only():
    rows = list(measured(find("gae"), seconds=0.0))
    assert [row.shape for row in rows if row.runner == "reference"] == [(32, 4)]
    assert len({row.shape for row in rows}) > 2


def test_losses_are_timed_with_their_gradient():
    rows = list(measured(find("ppo_clip_loss"), shapes=[(8,)], seconds=0.0))
    assert [row.runner for row in rows] == ["fast", "fast + gradient"]
    assert all(row.floor == "copy" for row in rows)


def test_products_are_counted_in_gradients():
    shape = (4, 3, 5, 2)
    (row,) = measured(find("fisher_vector_product"), shapes=[shape], seconds=0.0)
    assert row.floor == "gradient"


def test_wrong_rows_have_no_time(monkeypatch: pytest.MonkeyPatch):
    wrong = [runner(lambda **given: gae(**{**given, "lam": 0.5}))]
    monkeypatch.setattr(measurement, "runners_of", lambda *given: wrong)
    (row,) = rows_of("gae")
    assert row.timing is None
    assert row.nanoseconds is None
    assert "bounds from the truth" in row.problem


def test_threads_are_put_back():
    before = torch.get_num_threads()
    rows_of("gae", threads=before + 1)
    assert torch.get_num_threads() == before


def test_chained_inputs_bootstrap_from_the_next_value():
    case = chained(find("gae"), timing_case(find("gae"), (50, 4)))
    cut = case["terminated"] | case["truncated"]
    same = case["next_values"][:-1] == case["values"][1:]
    assert (same | cut[:-1]).all()
    assert not same[cut[:-1]].any()


# results on disk


WHERE = {
    "processor": "P", "cores": 2, "memory": "8 GiB", "system": "Linux x86_64", "device": "cpu",
    "threads": 1, "dtype": "float32", "versions": {"torch": "2"}, "date": "2026-01-02T03:04:05",
}  # fmt: skip


def row_at(seconds: float, spread: float = 0.01, shape: tuple[int, ...] = (4, 2)) -> Row:
    timing = Timing(seconds, seconds * (1 - spread), seconds * (1 + spread))
    return Row("gae", shape, 8, "fast", "float32", timing, "copy", 1e-6)


def test_results_come_back(tmp_path: Path):
    path = conservation.save(tmp_path / "results", WHERE, {}, [row_at(1.0)])
    assert path.name == "2026-01-02-p-float32.json"
    assert list(path.parent.iterdir()) == [path]  # nothing temporary stays
    earlier = conservation.load(path)
    assert earlier.machine == WHERE
    assert earlier.medians == {row_at(1.0).key: (0.99, 1.0, 1.01)}


def test_devices_are_in_the_name_of_the_file():
    where = {**WHERE, "device": "cuda (NVIDIA H200)"}
    assert conservation.file_name(where) == "2026-01-02-nvidia-h200-float32.json"


@pytest.mark.parametrize(
    ("now", "spread", "moved"),
    [(1.0, 0.01, 0), (1.09, 0.01, 0), (1.3, 0.01, 1), (0.7, 0.01, 1), (1.3, 0.3, 0)],
)
def test_what_moved(now: float, spread: float, moved: int, tmp_path: Path):
    earlier = conservation.load(conservation.save(tmp_path, WHERE, {}, [row_at(1.0)]))
    rows = [row_at(now, spread), row_at(5.0, shape=(9, 9))]
    found, common = conservation.moves(rows, earlier)
    assert (len(found), common) == (moved, 1)
    assert [move.ratio for move in found] == [now] * moved


@pytest.mark.parametrize("name", conservation.LIKE)
def test_unlike_machines_are_not_compared(name: str):
    assert conservation.unlike(WHERE, WHERE) == ""
    assert conservation.unlike(WHERE, {**WHERE, "versions": {}, "date": ""}) == ""
    assert name in conservation.unlike(WHERE, {**WHERE, name: "another"})


@pytest.mark.parametrize("content", ["", "{}", '{"results": [{}], "machine": {}}', "[]"])
def test_what_is_no_result_is_refused(content: str, tmp_path: Path):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="no results of `rlverify bench`"):
        conservation.load(path)


# pictures


@pytest.mark.parametrize("contract", TIMED, ids=lambda contract: contract.name)
def test_sweeps_go_up(contract):
    for name, shapes in illustration.sweeps(contract).items():
        places = [illustration.along(name, shape, contract) for shape in shapes]
        assert places == sorted(set(places))
        assert len(places) > 1


def test_pictures_are_the_same_for_the_same_results(tmp_path: Path):
    pytest.importorskip("matplotlib")
    rows = [row_at(1.0, shape=(t, 8)) for t in (8, 32)]
    files = []
    for folder in ("one", "two"):
        paths = illustration.draw(tmp_path / folder, find("gae"), {"T": rows}, "here")
        assert [path.name for path in paths] == ["gae.svg", "gae.png"]
        files.append([path.read_bytes() for path in paths])
    assert files[0] == files[1]
    assert b"floor: copy" in files[0][0]


# the command


def test_sizes_are_read():
    assert shapes_of(["2048x8", "64"]) == [(2048, 8), (64,)]


def test_command(run: Run, tmp_path: Path):
    words = ["bench", "gae", "--sizes", "8x2", "--seconds", "0"]
    ran = run(*words, "--save", "--folder", "kept", "--json", "found.json")
    assert ran.status == 0, ran.err
    assert "× floor" in ran.out
    (saved,) = (tmp_path / "kept").iterdir()
    told = json.loads((tmp_path / "found.json").read_text())
    assert [row["runner"] for row in told["results"]] == ["fast"]
    assert told["machine"]["cores"] >= 1
    again = run(*words, "--against", str(saved))
    assert "of 1 times moved" in again.out
    other = json.loads(saved.read_text())
    other["machine"]["processor"] = "another"
    saved.write_text(json.dumps(other))
    assert (
        "not compared, the machines differ: processor is"
        in run(*words, "--against", str(saved)).out
    )


def test_peers_that_are_missing_are_told(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measurement, "missing", lambda library: f"{library} is not installed")
    ran = run("bench", "gae", "--sizes", "8x2", "--seconds", "0", "--peers")
    assert ran.status == 0
    for library in {peer.library for peer in PEERS if peer.contract == "gae"}:
        assert ran.out.count(f"{library} is not installed") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "nothing"),
        (["gaussian_mixture_kl"], "has no fast version"),
        (["gae", "--device", "moon"], "device came as 'moon'"),
        (["gae", "--dtype", "float8"], "dtype came as 'float8'"),
        (["gae", "--sizes", "1x2x3"], "no inputs of that size"),
        (["gae", "--against", "absent.json"], "no results of `rlverify bench`"),
    ],
)
def test_bad_usage(words: list[str], told: str, run: Run):
    ran = run("bench", *words)
    assert ran.status == 2
    assert told in ran.err
