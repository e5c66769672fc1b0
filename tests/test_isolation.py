"""Functions in a worker process: whatever they do to it, the suite goes on and says what it was."""

import gc
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from rlverify.calling import CallError
from rlverify.calling.isolation import isolated
from rlverify.contracts import find
from stranger_cases import STRANGERS, agree, drawn, made, misbehaving_case

FOLDER = Path(__file__).parent / "strangers"
GAE = find("gae")
MIB = 2**20


def elsewhere(path: str, contract, call):
    module, _, name = path.partition(":")
    return isolated(f"{FOLDER / module}.py:{name}", contract, call=call)


@pytest.fixture
def misbehaving():
    """Return a maker of candidates whose workers are gone after the test."""
    made = []

    def make(name, **settings):
        made.append(isolated(f"{FOLDER / 'misbehaving.py'}:{name}", GAE, **settings))
        return made[-1]

    yield make
    for candidate in made:
        candidate.close()


@pytest.mark.parametrize(
    "path",
    [
        "one_dimensional:compute_gae",
        "extended_values:calculate_advantages",
        "batch_first:with_bootstrap",
        "rlax_like:lambda_returns",
        "cleanrl_like:compute",
        "in_classes:Estimator.estimate",
        "in_classes:Estimator.as_pair",
    ],
)
def test_stranger_in_a_worker_agrees_with_the_reference(path):
    candidate = made(path, elsewhere)
    agree(candidate, find(STRANGERS[path][0]))
    for words in STRANGERS[path][2].split("; "):
        assert words in candidate.mapping
    candidate.close()


def test_function_named_by_module():
    candidate = isolated("rlverify.reference.advantages:gae", GAE)
    case = drawn(GAE, (4, 3), 0)
    result = candidate.run([case], "float64")[0]
    assert np.array_equal(result.outputs["advantages"], GAE.reference(**case.arguments).advantages)
    candidate.close()


# --- what a worker does not survive -----------------------------------------------------

LOST = {
    "hangs": ("hung", r"hangs: did not return within 0\.3 s; raise the time limit .*slow\."),
    "exits": ("died", r"exits: ended its process by exit status 3\."),
    "crashes": ("died", r"crashes: ended its process by SIGSEGV\."),
    "kills_itself": ("died", r"ended its process by SIGKILL, as the system does when memory"),
}


@pytest.mark.parametrize("name", LOST)
def test_lost_workers_are_given_up_after_two(name, misbehaving):
    began = time.monotonic()
    candidate = misbehaving(name, time_limit=0.3)
    cases = [misbehaving_case(candidate)] * 50
    results = candidate.run(cases, "float64")
    kind, sentence = LOST[name]
    assert [result.failure.kind for result in results] == [kind] * 50
    assert re.search(sentence, results[0].failure.sentence)
    # one was lost in the trial call
    assert [result.ran for result in results] == [True] + [False] * 49
    assert not any(result.ran for result in candidate.run(cases, "float64"))
    assert time.monotonic() - began < 5


def test_where_a_function_hangs_or_crashes_is_told(misbehaving):
    hung = misbehaving("hangs", time_limit=0.3)
    crashed = misbehaving("crashes")
    for candidate, line in ((hung, "in hangs"), (crashed, "in crashes")):
        result = candidate.run([misbehaving_case(candidate)], "float64")[0]
        assert line in result.failure.detail
    assert result.printed == "so long\n"


def test_other_cases_survive_one_that_hangs(misbehaving):
    candidate = misbehaving("sleeps_on_large", time_limit=0.5)
    good = misbehaving_case(candidate)
    large = candidate.project(good.but(rewards=good["rewards"] + 100))
    results = candidate.run([good, large, good], "float64")
    assert [result.failure and result.failure.kind for result in results] == [None, "hung", None]
    wanted = GAE.reference(**good.arguments).advantages
    assert all(np.array_equal(results[i].outputs["advantages"], wanted) for i in (0, 2))


def test_memory_is_limited(misbehaving):
    candidate = misbehaving("eats", memory_limit=128 * MIB)
    result = candidate.run([misbehaving_case(candidate)], "float64")[0]
    assert result.failure.kind == "memory"
    assert "it may use 0.125 GiB beyond what its imports take" in result.failure.sentence


@pytest.mark.parametrize("name", ["raises", "exits_politely", "interrupts", "asks"])
def test_what_a_function_raises_does_not_end_the_worker(name, misbehaving):
    candidate = misbehaving(name)
    results = candidate.run([misbehaving_case(candidate)] * 3, "float64")
    assert [result.failure.kind for result in results] == ["raised"] * 3
    assert all(result.ran for result in results)
    error = {"raises": "KeyError", "exits_politely": "SystemExit", "asks": "EOFError"}
    assert f"raised {error.get(name, 'KeyboardInterrupt')}" in results[0].failure.sentence


@pytest.mark.parametrize("name", ["overwrites", "aliases", "wrong_dtype", "wrong_shape"])
def test_misuse_is_noticed_across_the_process(name, misbehaving):
    kinds = {"overwrites": "overwrote", "aliases": "aliased"}
    candidate = misbehaving(name, layout="columns")
    result = candidate.run([misbehaving_case(candidate)], "float64")[0]
    assert result.failure.kind == kinds.get(name, name.removeprefix("wrong_"))


def test_prints_are_caught_at_every_level(misbehaving, capfd):
    candidate = misbehaving("prints")
    case = misbehaving_case(candidate)
    for result in candidate.run([case, case], "float64"):
        assert result.failure is None
        for words in ("from Python\n", "to stderr\n", "from below\n"):
            assert result.printed.count(words) == case["rewards"].shape[1]
    assert capfd.readouterr() == ("", "")


def test_long_prints_are_cut(misbehaving):
    candidate = misbehaving("prints_a_lot")
    results = candidate.run([misbehaving_case(candidate)] * 3, "float64")
    assert [len(result.printed) for result in results] == [2000] * 3


def test_forged_answers_run_nothing_and_count_as_a_death(misbehaving):
    candidate = misbehaving("forges", time_limit=1)
    result = candidate.run([misbehaving_case(candidate)], "float64")[0]
    assert result.failure.kind == "died"
    assert "wrote something of its own where its results are sent" in result.failure.sentence


# --- targets ------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")

    return write


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("gae", "wanted MODULE:FUNCTION or FILE.py:FUNCTION"),
        ("no_such_module:f", "there is no such module in /"),
        ("no_such_file.py:f", "there is no such file in /"),
        ("mine.py:compute_gea", "mine.py has no compute_gea; did you mean compute_gae?"),
        ("mine.py:Thing", "it is a class; name one of its methods"),
        ("mine.py:Thing.go", r"Thing\(\) cannot be made without arguments .*TypeError.* calls go"),
        ("mine.py:number", "it is of type int, wanted a function"),
        ("broken:f", "broken: cannot be imported: ValueError: not today"),
        ("needs.py:f", "cannot be imported: ModuleNotFoundError: No module named 'no_such'"),
        ("leaves:f", "cannot be imported: SystemExit: 4"),
        ("dies:f", r"dies:f: importing it ended by exit status 7\."),
    ],
    ids=lambda text: text if ":" in text[:20] else "",
)
def test_targets_that_lead_nowhere(target, words, written):
    written(
        "mine.py",
        """
        number = 3
        def compute_gae(): ...
        class Thing:
            def __init__(self, size): ...
            def go(self): ...
        """,
    )
    written("broken.py", "raise ValueError('not today')")
    written("needs.py", "import no_such")
    written("leaves.py", "raise SystemExit(4)")
    written("dies.py", "import os; os._exit(7)")
    with pytest.raises(CallError, match=words):
        isolated(target, GAE)


def test_module_in_the_current_folder_that_prints_on_import(written, capfd):
    written(
        "my_gae.py",
        """
        print("loading")
        def compute(rewards, values, next_values, terminated, truncated, gamma, lam):
            return rewards + values
        """,
    )
    candidate = isolated("my_gae:compute", GAE)
    case = drawn(GAE, (3, 2), 0)
    result = candidate.run([case], "float64")[0]
    candidate.close()
    assert np.array_equal(result.outputs["advantages"], case["rewards"] + case["values"])
    assert result.printed == ""
    assert capfd.readouterr() == ("", "")


# --- the process itself ---------------------------------------------------------------------


def worker_of(candidate) -> subprocess.Popen:
    return candidate.engine.worker.process


def test_worker_ends_when_closed_or_forgotten():
    closed = isolated(f"{FOLDER / 'one_dimensional.py'}:compute_gae", GAE)
    forgotten = isolated(f"{FOLDER / 'one_dimensional.py'}:compute_gae", GAE)
    workers = [worker_of(closed), worker_of(forgotten)]
    assert [worker.poll() for worker in workers] == [None, None]
    # the user's Ctrl-C is not for them
    assert [os.getsid(worker.pid) for worker in workers] == [worker.pid for worker in workers]
    closed.close()
    closed.close()
    del forgotten
    gc.collect()
    assert None not in [worker.returncode for worker in workers]


def test_closed_candidate_starts_again():
    candidate = isolated(f"{FOLDER / 'one_dimensional.py'}:compute_gae", GAE)
    case = misbehaving_case(candidate)
    candidate.close()
    assert candidate.run([case], "float64")[0].failure is None
    candidate.close()


@pytest.mark.parametrize("busy", [False, True])
def test_worker_ends_with_its_parent(busy):
    name = "misbehaving.py:sleeps_on_large" if busy else "one_dimensional.py:compute_gae"
    text = f"""
        import os, threading, time
        import numpy as np
        from rlverify.contract import Case
        from rlverify.contracts import find
        from rlverify.calling.isolation import isolated
        c = isolated({str(FOLDER / name)!r}, find("gae"), time_limit=2)
        column, off = np.full((2, 1), 100.0), np.zeros((2, 1), dtype=bool)
        case = Case(dict(rewards=column, values=column, next_values=column, terminated=off,
                         truncated=off, gamma=0.5, lam=0.5))
        print(c.engine.worker.process.pid, flush=True)
        if {busy}:
            threading.Thread(target=c.run, args=([case], "float64"), daemon=True).start()
            time.sleep(0.5)
        os._exit(0)
    """
    parent = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, check=True
    )
    status = Path("/proc") / parent.stdout.strip() / "status"
    until = time.monotonic() + 8
    # nobody may be there to collect an orphan, so a zombie has ended too
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_many_calls_cost_little():
    candidate = isolated("rlverify.reference.returns:td_error", find("td_error"))
    cases = [drawn(find("td_error"), (4, 3), seed) for seed in range(600)]  # more than a batch
    began = time.monotonic()
    results = candidate.run(cases, "float64")
    # five times what a call may cost, since the machine may be busy
    assert time.monotonic() - began < 5 * 0.001 * len(cases)
    for case, result in zip(cases, results, strict=True):
        wanted = find("td_error").reference(**case.arguments)
        assert np.array_equal(result.outputs["errors"], wanted)
    candidate.close()
