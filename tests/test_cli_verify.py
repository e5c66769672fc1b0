"""The commands `verify` and `mutants`: statuses, tables, documents."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import CONTROL, Run, loaded
from rlverify import commanding, contracts, verifying
from rlverify.citations import LEFT_OUT


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
