"""The command `bias`, and the document that shows it."""

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import rlverify
from command_line import Run, runner
from rlverify.biasing.estimation import estimators

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in the folder of the document."""
    return runner(ROOT / "docs", monkeypatch, capsys)


def test_statuses(run: Run):
    assert run("bias")[0] == 0
    assert run("bias", "batch-mean")[0] == 0  # biased, but nobody's
    status, out, _ = run("bias", "examples/losses.py:reward_to_go")
    assert (status, out.splitlines()[0]) == (0, "UNBIASED  reward_to_go")
    status, out, _ = run("bias", "examples/losses.py:no_gamma_t")
    assert (status, out.splitlines()[0]) == (1, "BIASED  no_gamma_t")
    status, out, _ = run("bias", "examples/losses.py:no_gamma_t", "--aim", "field")
    assert (status, out.splitlines()[0]) == (0, "UNBIASED(field)  no_gamma_t")
    status, out, _ = run("bias", "examples/losses.py:reward_to_go", "--aim", "field")
    assert (status, out.splitlines()[0]) == (1, "BIASED(field)  reward_to_go")
    for words in (["gea"], ["examples/none.py:f"], ["--mdp", "chian(2)"], ["--gamma", "x"]):
        status, out, error = run("bias", *words)
        assert (status, out) == (2, "")
        assert error.startswith("rlverify: error: ")


def test_json(run: Run, tmp_path: Path):
    file = tmp_path / "bias.json"
    status, _, _ = run("bias", "examples/losses.py:batch_mean", "--json", str(file))
    document = json.loads(file.read_text(encoding="utf-8"))
    assert status == 1
    assert (document["command"], document["ok"]) == ("bias", False)
    assert document["target"]["factor"] == "3/4"
    assert document["target"]["unbiased"] is False
    by_name = {each["name"]: each for each in document["results"]}
    assert by_name["reward-to-go"]["bias"] == ["0"] * 4
    gradient = [Fraction(x) for x in document["situation"]["gradient"]]
    mean = [Fraction(x) for x in by_name["batch-mean"]["mean"]]
    assert mean == [Fraction(3, 4) * x for x in gradient]


def test_the_default_answers_at_once_and_without_torch():
    code = (
        "import sys; from rlverify.cli import main; status = main(['bias']); "
        "sys.exit(status or 'torch' in sys.modules)"
    )
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # of the processor, for other tests may run beside this one
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


CONSOLE = re.compile(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def blocks() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "bias.md").read_text(encoding="utf-8")
    return CONSOLE.findall(text)


@pytest.mark.parametrize(("command", "shown"), blocks(), ids=lambda item: item.split("\n")[0])
def test_the_document_shows_what_the_command_prints(run: Run, command: str, shown: str):
    import shlex

    words = shlex.split(command)
    assert words[:2] == ["rlverify", "bias"]
    _, out, _ = run(*words[1:])
    assert shown.strip() == "\n".join(line.rstrip() for line in out.splitlines()).strip()


def test_every_estimator_is_in_the_document():
    text = (ROOT / "docs" / "bias.md").read_text(encoding="utf-8")
    report = rlverify.bias(behaviour="uniform")
    variants = rlverify.bias(family="grpo").findings
    for item in (*estimators(rlverify.bias().situation), *report.findings, *variants):
        assert item.name in text


def test_a_ratio_that_is_always_one_is_noted(tmp_path):
    """On-policy a squared ratio is unbiased: nobody may take that for proof of the ratio."""
    file = tmp_path / "mine.py"
    file.write_text(
        "def loss(log_probs, old_log_probs, rewards, gamma):\n"
        "    ratio = (log_probs - old_log_probs).sum(0).exp()\n"
        "    returns = sum(gamma**t * row for t, row in enumerate(rewards))\n"
        "    return -(0.5 * ratio**2 * returns).mean()\n"
    )
    at_home = rlverify.bias(f"{file}:loss", arrays="torch", table=False)
    assert at_home.ok
    assert any("every ratio is 1" in note for note in at_home.finding.notes)
    abroad = rlverify.bias(f"{file}:loss", arrays="torch", behaviour="uniform", table=False)
    assert not abroad.ok
    assert abroad.finding.diagnosis == "it squares the importance ratio of the trajectory"
    assert not any("every ratio is 1" in note for note in abroad.finding.notes)
