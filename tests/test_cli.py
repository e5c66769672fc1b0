"""The command line: statuses, what is printed, files, settings."""

import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import rlverify
from rlverify import cli, commanding, contracts, serialization, verifying
from rlverify.citations import LEFT_OUT

CANDIDATES = """
import time
import numpy as np

def good(rewards, values, next_values, terminated, truncated, gamma, lam):
    print("\\x1b[31mhello\\x1b[0m\\a")
    advantages, following = np.zeros_like(rewards), 0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * np.where(terminated[t], 0, next_values[t]) - values[t]
        following = delta + gamma * lam * np.where(terminated[t] | truncated[t], 0, following)
        advantages[t] = following
    return advantages

def half(rewards, values, next_values, terminated, truncated, gamma, lam):
    return good(rewards, values, next_values, terminated, truncated, gamma, lam) / 2

def batch(rewards, values, next_values, terminated, truncated, gamma, lam):
    given = rewards.T, values.T, next_values.T, terminated.T, truncated.T
    return good(*given, gamma, lam).T

def bad(rewards, values, next_values, terminated, truncated, gamma, lam):
    return good(rewards, values, next_values, terminated, terminated, gamma, lam)

def odd(a, b, c, d, e, f, g):
    return bad(a, b, c, d, e, f, g)

def raising(rewards, values, next_values, terminated, truncated, gamma, lam):
    raise RuntimeError("boom [red]\\x1b[31m\\nand more")

def hanging(rewards, values, next_values, terminated, truncated, gamma, lam):
    while True:
        time.sleep(1)
"""
CALL = "odd(rewards, values, next_values, terminated, truncated, gamma, lam)"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in a folder that holds candidates."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mine.py").write_text(CANDIDATES, encoding="utf-8")

    def command(*words: str) -> Ran:
        status = cli.main(words)
        return Ran(status, *capsys.readouterr())

    return command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run the command line on a terminal of a width, and return what it shows."""

    def command(*words: str, columns: int = 120) -> str:
        screen = Terminal()
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", str(columns))
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            run(*words)
        return screen.getvalue()

    return command


def loaded(path: Path) -> Any:
    """Return a JSON document, strictly: NaN and Infinity are no JSON."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} in {path.name}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


# usage


def test_version(run: Run):
    assert run("--version") == (0, f"rlverify {rlverify.__version__}\n", "")


def test_no_command_shows_what_there_is(run: Run):
    ran = run()
    assert ran.status == 2
    for command in ("verify", "check", "bias", "explain", "list", "mutants"):
        # no description is cut short
        assert re.search(rf"^  {command} +[A-Z].*\.$(?<!\.\.\.)", ran.out, re.MULTILINE), command


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("chek", "did you mean 'check'"),
        ("list --jsn x", "no such option: --jsn"),
        ("verify --budget 0", "invalid value for '--budget'"),
        ("verify gea", "did you mean gae?"),
        ("verify gae --dtype float65", "dtype came as 'float65', wanted one of float64"),
        ("verify gae --device cudo", "device came as 'cudo', wanted one that PyTorch can use"),
        ("mutants gea", "did you mean gae?"),
        ("explain gea", "did you mean gae?"),
        ("check", "no target is given"),
        ("check mine", "wanted MODULE:FUNCTION"),
        ("check mine.py:bad", "--as is missing"),
        ("check mine.py:bad --as gea", "did you mean gae?"),
        ("check mine.py:bed --as gae", "did you mean bad?"),
        ("check yours.py:bad --as gae", "there is no such file"),
        ("check mine.py:odd --as gae", "is not known. declare the call"),
        ("check mine.py:bad --as gae --convention layout=x", "wanted one that gae knows"),
        ("check mine.py:bad --as gae --factor half", "factor came as 'half'"),
        ("check mine.py:bad --as gae --arrays numpi", "arrays came as 'numpi'"),
        ("check mine.py:bad --as gae --layout columm", "layout came as 'columm'"),
        ("check mine.py:bad --as gae --call bad(", "--call"),
        ("list --json nowhere/x.json", "there is no folder"),
        ("list --json .", "it is no file"),
    ],
)
def test_bad_usage(run: Run, words: str, told: str):
    ran = run(*words.split())
    assert ran.status == 2
    assert ran.out == ""
    assert ran.err.startswith("rlverify: error: ")
    assert told.lower() in ran.err.lower()
    lines = ran.err.splitlines()
    # more than one line only where calls to declare are listed below it
    assert all(line.startswith("  --call ") for line in lines[1:])


def test_a_bug_of_our_own_is_not_bad_usage(run: Run, monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(commanding, "matrix", broken)
    with pytest.raises(ZeroDivisionError):
        run("mutants", "td_error")


def test_interrupted(run: Run, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rlverify, "check", interrupt)
    assert run("check", "mine.py:bad", "--as", "gae") == (130, "", "rlverify: interrupted\n")


# list and explain


def test_list_shows_every_contract(run: Run, tmp_path: Path):
    ran = run("list", "--json", "list.json")
    assert (ran.status, ran.err) == (0, "")
    found = loaded(tmp_path / "list.json")["results"]
    known = [
        {"name": c.name, "topic": c.topic, "summary": c.summary, "source": c.source}
        for c in contracts.contracts()
    ]
    known.sort(key=lambda entry: (contracts.TOPICS.index(entry["topic"]), entry["name"]))
    assert found == known
    for contract in contracts.contracts():
        assert re.search(rf"^{contract.name} +{contract.topic} ", ran.out, re.MULTILINE)
        assert contract.summary in ran.out


def test_what_needs_no_torch_does_not_wait_for_it():
    code = (
        "import sys; from rlverify.cli import main; main(['list']); main(['--version']); "
        "main(['check', '-h']); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_explain(run: Run, tmp_path: Path):
    ran = run("explain", "gae", "--json", "gae.json")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == rlverify.explain("gae") + "\n"
    (found,) = loaded(tmp_path / "gae.json")["results"]
    assert found["text"] + "\n" == ran.out
    contract = contracts.find("gae")
    assert [item["name"] for item in found["laws"]] == [law.name for law in contract.laws]
    for told in (
        "Âₜ = δₜ + γ λ Âₜ₊₁",
        "reference/advantages.py:",
        *(law.name for law in contract.laws),
        *(item.name for item in contract.conventions),
        *(item.id for item in contract.equivalents),
        "B2 truncation-not-a-boundary",
        "https://github.com/Toni-SM/skrl/issues/224",
    ):
        assert told in ran.out, told


# check


def test_check_good(run: Run):
    ran = run("check", "mine.py:good", "--as", "gae", "--budget", "20")
    assert ran.status == 0
    assert ran.out.startswith("EXACT  good as gae in float64\n")
    assert re.search(r"called +good\(rewards, values, .*; numpy$", ran.out, re.MULTILINE)
    assert re.search(r"printed +\\x1b\[31mhello\\x1b\[0m\\x07", ran.out)
    assert ran.err == "1/1 mine.py:good: ok\n"
    assert not CONTROL.search(ran.out + ran.err)


def without_spaces(text: str) -> str:
    return re.sub(r"\s", "", text)


def shown(program: str) -> str:
    """Run a program in this folder and return what it prints."""
    Path("shown.py").write_text(program, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "shown.py"], capture_output=True, text=True, encoding="utf-8"
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(("function", "how"), [("bad", []), ("odd", ["--call", CALL])])
def test_check_bad_prints_a_program_that_shows_it(
    run: Run, tmp_path: Path, function: str, how: list[str]
):
    words = ["check", f"mine.py:{function}", "--as", "gae", "--budget", "40", "--json", "bad.json"]
    ran = run(*words, *how)
    assert ran.status == 1
    assert ran.out.startswith(f"WRONG(B2)  {function} as gae in float64\n")
    assert "carries the sum across a truncation into the next episode" in ran.out
    assert "https://github.com/Toni-SM/skrl/issues/224" in ran.out
    assert "law: split-at-ends - episodes in one column do not know of each other" in ran.out
    assert not CONTROL.search(ran.out)

    document = loaded(tmp_path / "bad.json")
    assert (document["schema"], document["command"]) == ("rlverify/1", "check")
    assert (document["ok"], document["arguments"]["budget"]) == (False, 40)
    (found,) = document["results"]
    assert (found["title"], found["ok"]) == ("WRONG(B2)", False)
    assert found["citations"][0]["link"] in ran.out

    program = ran.out[ran.out.index("import numpy as np\n") :]
    assert program == found["counterexample"] + "\n"
    arrays = dict(re.findall(r"^# (wanted|got) +advantages = (.*)$", program, re.MULTILINE))
    assert arrays["wanted"] != arrays["got"]
    printed = without_spaces(shown(program))
    for array in arrays.values():
        assert f"'advantages':array({without_spaces(array)})" in printed


def test_check_raising(run: Run, tmp_path: Path):
    ran = run("check", "mine.py:raising", "--as", "gae", "--budget", "5", "--json", "raising.json")
    assert ran.status == 1
    assert re.search(r"diagnosis +raising: raised RuntimeError: boom \[red\]\\x1b\[31m", ran.out)
    assert "precision" not in ran.out  # of numbers that never came
    assert loaded(tmp_path / "raising.json")["results"][0]["worst"] == "inf"
    assert not CONTROL.search(ran.out)
    program = ran.out[ran.out.index("import numpy as np\n") :]
    compile(program, "raising", "exec")


def test_check_hanging(run: Run):
    words = ("check", "mine.py:hanging", "--as", "gae", "--budget", "5", "--time-limit", "0.3")
    ran = run(*words)
    assert ran.status == 1
    assert "did not return within 0.3 s" in ran.out


def test_check_says_how_to_declare_what_it_inferred(run: Run):
    words = ("check", "mine.py:batch", "--as", "gae", "--budget", "10")
    ran = run(*words)
    assert ran.status == 1
    assert ran.out.startswith("CONVENTION(layout=batch-major)  ")
    (option,) = re.findall(r"^ +(--convention .*)$", ran.out, re.MULTILINE)
    assert run(*words, *option.split()).status == 0

    words = ("check", "mine.py:half", "--as", "gae", "--budget", "10")
    ran = run(*words)
    assert ran.status == 1
    (option,) = re.findall(r"^ +(--factor .*)$", ran.out, re.MULTILINE)
    declared = run(*words, *option.split())
    assert declared.status == 0
    assert re.search(r"differs +\d+ checks fail, as what is declared explains", declared.out)


# settings


def configure(text: str) -> None:
    Path("pyproject.toml").write_text(text, encoding="utf-8")


def test_settings(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    configure(f"""
[tool.rlverify]
budget = 10
seed = 3
[tool.rlverify.candidates.halved]
target = "mine.py:half"
as = "gae"
factor = "1/2"
[tool.rlverify.candidates.odd]
target = "mine.py:odd"
as = "gae"
call = "{CALL}"
excused = {{ "law: lambda-zero" = "a reason of old" }}
""")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")  # settings are found upwards, targets from where they lie
    ran = run("check", "--json", "all.json")
    assert ran.status == 1
    document = loaded(tmp_path / "below" / "all.json")
    arguments = document["arguments"]
    assert (arguments["budget"], arguments["seed"]) == (10, 3)
    half, odd = document["results"]
    assert (half["title"], half["ok"]) == ("KNOWN-BIAS(1/2)", True)
    assert (odd["title"], odd["ok"]) == ("WRONG(B2)", False)
    assert "stale excuse: law: lambda-zero holds; take it out (a reason of old)" in ran.out

    ran = run("check", "halved", "--factor", "1/3", "--seed", "0", "--json", "one.json")
    assert ran.status == 1  # the command line overrides
    (task,) = loaded(tmp_path / "below" / "one.json")["arguments"]["candidates"]
    assert (task["target"], task["factor"]) == (os.path.join("..", "mine.py:half"), "1/3")


TABLE = '[tool.rlverify.candidates.mine]\ntarget = "mine.py:bad"\nas = "gae"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.rlverify]\nbudgt = 3", "[tool.rlverify] has no key 'budgt'; did you mean 'budget'"),
        ("[tool.rlverify]\nbudget = 0", "budget came as 0, wanted an integer of at least 1"),
        ("[tool.rlverify]\nseed = true", "seed came as True, wanted an integer"),
        ("[tool.rlverify]\ncandidates = 1", "[tool.rlverify.candidates] came as 1, wanted a table"),
        ("[tool.rlverify", "cannot be read"),
        (TABLE + 'cal = "x"', "candidates.mine] has no key 'cal'; did you mean 'call'"),
        (TABLE + "call = 1", "call came as 1, wanted a text"),
        (TABLE + 'conventions = "x"', "conventions came as 'x', wanted a list"),
        (TABLE + 'factor = "x"', "factor came as 'x', wanted a number"),
        (TABLE + 'excused = { "reference" = " " }', "'reference' came as ' ', wanted the reason"),
        (TABLE + 'excused = { "referenc" = "why" }', "there is no check 'referenc'; did you mean"),
        (TABLE.replace("as =", "#"), "lacks as, such as"),
        (TABLE.replace("target =", "#"), "lacks target, such as"),
    ],
)
def test_settings_that_are_refused(run: Run, text: str, told: str):
    configure(text)
    ran = run("check")
    assert (ran.status, ran.out) == (2, "")
    assert told in ran.err
    assert len(ran.err.splitlines()) == 1


# verify and mutants


@pytest.fixture(scope="module")
def rows() -> list[verifying.Row]:
    """Return the row of one fast function, verified once."""
    contract = contracts.find("td_error")
    return list(verifying.rows([contract], dtypes=["float64"], budget=20, seed=0))


def test_verify(run: Run, tmp_path: Path, rows: list[verifying.Row]):
    words = ("verify", "td_error", "--dtype", "float64", "--budget", "20", "--json", "v.json")
    ran = run(*words)
    assert ran.status == (0 if rows[0].ok else 1)
    header, line, *rest = ran.out.splitlines()
    assert header.split()[:7] == ["function", "dtype", "grade", "worst", "laws", "bugs", "least"]
    assert header.endswith("ns/element  × copy  ok")
    assert line.startswith(f"td_error  float64  {rows[0].verdict.grade} ")
    assert re.search(
        r"1 rows?.* known bugs killed, \d+ distinct mistakes; \d+ s on .* cores, cpu, torch \d",
        rest[-1],
    )
    assert not CONTROL.search(ran.out + ran.err)
    assert "…" not in ran.out
    assert re.fullmatch(r"1/1 td_error: (not )?ok\n", ran.err)
    document = loaded(tmp_path / "v.json")
    assert document["machine"]["cores"] >= 1
    (row,) = document["results"]
    assert row["verdict"]["title"] == rows[0].verdict.title
    assert row["laws"]["total"] == len(contracts.find("td_error").laws)


def patched_rows(monkeypatch: pytest.MonkeyPatch, rows: list[verifying.Row]) -> None:
    monkeypatch.setattr(verifying, "rows", lambda *_, **__: iter(rows))


@pytest.mark.parametrize("ok", [True, False])
def test_verify_fails_where_a_row_does(
    run: Run, monkeypatch: pytest.MonkeyPatch, rows: list[verifying.Row], ok: bool
):
    patched_rows(monkeypatch, [dataclasses.replace(rows[0], ok=ok, gradient=1.0 if ok else 3.5)])
    ran = run("verify", "td_error", "--dtype", "float64")
    assert ran.status == (0 if ok else 1)
    assert ("1 of 1 row wrong" in ran.out) is not ok
    assert bool(re.search(r"gradient +3\.50 in units of its bound", ran.out)) is not ok


def test_narrow_terminal_shows_every_column(
    terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, rows: list[verifying.Row]
):
    patched_rows(monkeypatch, rows)
    wide = terminal("verify", "td_error", "--dtype", "float64", "--no-color", columns=200)
    narrow = terminal("verify", "td_error", "--dtype", "float64", "--no-color", columns=50)
    assert max(map(len, narrow.splitlines())) <= 50
    assert narrow.count("td_error  float64") > 1 == wide.count("td_error  float64")
    assert re.findall(r"\w+", wide.splitlines()[1])[2] in narrow
    for title in ("worst", "least visible", "rollouts", "gradient", "ns/element", "× copy"):
        assert title in narrow


def test_colours(terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    assert "\x1b[" in terminal("list")
    assert "\x1b[" not in terminal("list", "--no-color")
    assert "\x1b[" not in terminal("--no-color", "list")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in terminal("list")


def test_mutants(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    contract = contracts.find("discounted_return")
    monkeypatch.setattr(commanding, "find", lambda name: contract)
    ran = run("mutants", "discounted_return", "--budget", "40", "--json", "whole.json")
    document = loaded(tmp_path / "whole.json")
    (found,) = document["results"]
    assert [bug["id"] for bug in found["bugs"]] == [bug.id for bug in contract.known_bugs]
    assert document["left_out"] == LEFT_OUT
    assert ran.status == (1 if found["holes"] else 0)
    assert not CONTROL.search(ran.out)
    for bug in found["bugs"]:
        assert re.search(rf"^{bug['id']} +{bug['name']} +[\d.]+ % ", ran.out, re.MULTILINE)
        assert bug["killed_by"]
    for bug_id, reason in LEFT_OUT.items():
        assert re.search(rf"^  {bug_id} +{re.escape(reason)}$", ran.out, re.MULTILINE)

    # without its laws and examples nothing kills a bug
    bare = dataclasses.replace(contract, laws=(), examples=(), known_bugs=contract.known_bugs[:1])
    monkeypatch.setattr(commanding, "find", lambda name: bare)
    ran = run("mutants", "discounted_return", "--budget", "5")
    assert ran.status == 1
    assert "no check: EMPTY ROW" in ran.out
    assert f"no check kills {bare.known_bugs[0].id}" in ran.out


# files


def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def closed(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(serialization.os, "open", closed)
    monkeypatch.setattr(commanding, "named", closed)
    ran = run("mutants", "--json", "x.json")
    assert ran.status == 2
    assert f"{tmp_path} cannot be written to: Permission denied" in ran.err


def test_a_write_that_fails_midway_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "result.json"
    serialization.write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(serialization.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            serialization.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
    serialization.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_a_link_stays_a_link(tmp_path: Path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    serialization.write_atomically(tmp_path / "link.json", "\ud800")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text(encoding="utf-8") == "\\ud800"
