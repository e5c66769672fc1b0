"""Settings of the command line: what a file may say, and what is refused."""

import os
from pathlib import Path

import pytest

from command_line import CALL, Run, loaded


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
