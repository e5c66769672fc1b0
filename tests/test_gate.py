"""The gate: the sources of a commit beside those of today, and when it fails."""

import subprocess
import sys
from pathlib import Path

import gate
import pytest

from rlverify.benchmarking.contesting import Comparison
from rlverify.judging import Verdict


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository whose working tree differs from its only commit in one file."""
    root = tmp_path / "there"
    (root / "fast").mkdir(parents=True)
    (root / "rlverify").mkdir()
    (root / "rlverify" / "errors.py").write_text("WORD = 'then'\n")
    for name, text in {
        "__init__": "",
        "ppo": "from rlverify.fast._parts import word\n\n\ndef loss():\n    return word()\n",
        "_parts": "from rlverify.errors import WORD\n\n\ndef word():\n    return WORD\n",
    }.items():
        (root / "fast" / f"{name}.py").write_text(text)
    (root / "fast" / "notes.txt").write_text("none")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "then"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)
    (root / "rlverify" / "errors.py").write_text("WORD = 'now'\n")
    (root / "fast" / "notes.txt").write_text("some")
    return root


def test_sources_are_those_of_the_commit(repository: Path, tmp_path: Path):
    gate.lay_out("HEAD", tmp_path, repository)
    code = f"from {gate.PACKAGE}.fast.ppo import loss; print(loss())"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert ran.stdout == "then\n"
    assert not list((tmp_path / gate.PACKAGE).rglob("*.txt"))


def test_only_sources_count(repository: Path):
    assert gate.touched("HEAD", repository) == {"rlverify/errors.py"}


def test_functions_of_a_commit(repository: Path):
    assert gate.there("HEAD", "ppo", "loss", repository)
    assert not gate.there("HEAD", "ppo", "los", repository)
    assert not gate.there("HEAD", "absent", "loss", repository)


def test_who_is_concerned():
    assert gate.concerned([]) == []
    assert gate.concerned(["fast/ppo.py"]) == ["ppo_clip_loss"]
    assert gate.concerned(["fast/schedules.py"]) == []
    assert sorted(gate.concerned(["fast/scan.py"])) == sorted(gate.WATCHED)
    assert sorted(gate.concerned(["rlverify/errors.py"])) == sorted(gate.WATCHED)


def comparison(verdict: str, *, right: tuple[bool, bool] = (True, True), foul: str = ""):
    verdicts = tuple(
        Verdict(ok, "EXACT", "", "f", "gae", "float32", "", 1, 0.0, "", 0.0, 0.0, (), ())
        for ok in right
    )
    return Comparison("gae", verdict, ("old", "new"), verdicts, "float32", (), foul)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (comparison("SAME"), "passes"),
        (comparison("FASTER"), "passes"),
        (comparison("INCONCLUSIVE"), "passes"),
        (comparison("SLOWER"), "fails"),
        (comparison("WRONG", right=(True, False)), "fails"),
        (comparison("WRONG", right=(False, True)), "passes"),
        (comparison("WRONG", foul="new: reused a buffer"), "fails"),
        (comparison("WRONG", right=(False, False)), "fails"),
    ],
)
def test_when_it_fails(found: Comparison, told: str):
    assert gate.judged(found).startswith(told)


def test_without_the_commit_there_is_nothing_to_say(capsys: pytest.CaptureFixture[str]):
    assert gate.main(["no-such-commit"]) == 0
    assert "nothing to compare with" in capsys.readouterr().out
