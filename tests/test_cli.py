"""The command line: statuses, what is printed."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rlverify
from command_line import CALL, CONTROL, Run, loaded
from rlverify import commanding, contracts

# usage


def test_version(run: Run):
    assert run("--version") == (0, f"rlverify {rlverify.__version__}\n", "")


def test_no_command_shows_what_there_is(run: Run):
    ran = run()
    assert ran.status == 2
    for command in ("verify", "check", "bias", "explain", "list", "mutants", "train"):
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
