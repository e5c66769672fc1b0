"""What is printed: tables, verdicts, matrices, explanations; and the same as JSON."""

import dataclasses
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from rich.text import Text

import rlverify
from rlverify import contracts
from rlverify.citations import citation
from rlverify.contract import Case
from rlverify.diagnosis import Matrix
from rlverify.diagnosis import Row as BugRow
from rlverify.judging import Verdict
from rlverify.reporting import (
    explanation,
    headed,
    matrix_lines,
    number,
    row_lines,
    share,
    verdict_lines,
)
from rlverify.serialization import document, plain, verdict_record
from rlverify.tabulation import Column, clean, labelled, table, text, wrapped
from rlverify.tallying import Tally
from rlverify.verifying import Mutants, Row

CONTRACT = contracts.find("td_error")


def joined(lines: list[Text]) -> str:
    return "\n".join(line.plain for line in lines)


def verdict(**changes: object) -> Verdict:
    tallies = (
        Tally("reference", 10, 4, math.inf, sentence="equals the NumPy reference"),
        Tally("law: one-step", 10, 3, 7.0, sentence="what one step is"),
        Tally("law: telescopes", 10, 0, 0.5, sentence="sums telescope"),
    )
    known = {
        "ok": False,
        "grade": "WRONG",
        "qualifier": "A4",
        "name": "mine",
        "contract": "td_error",
        "dtype": "float64",
        "call": "mine(rewards)",
        "draws": 10,
        "worst": 12.34,
        "where": "result[0, 1] of a free case",
        "effective_precision": 0.25,
        "claimed_precision": 2.0**-53,
        "held": ("law: telescopes",),
        "broken": ("reference", "law: one-step"),
        "diagnosis": "it does this",
        "citations": (citation("A4"),),
        "counterexample": "print('a program')",
        "smallest": Case({"rewards": np.array([[np.nan, np.inf]]), "gamma": 0.5}),
        "notes": ("a remark", "excused: law: x (why)"),
        "printed": "loud\x07",
        "tallies": tallies,
    }
    return Verdict(**{**known, **changes})


# tables


def test_table_is_aligned():
    columns = (Column("name"), Column("γ", right=True), Column("last"))
    rows = [[text("a"), text("1.5"), text("x")], [text("longer"), text("10.25"), text("")]]
    assert joined(table(columns, rows, None)).splitlines() == [
        "name        γ  last",
        "a         1.5  x",
        "longer  10.25",
    ]


@pytest.mark.parametrize("width", range(6, 40))
def test_narrow_table_continues_below(width: int):
    columns = [Column(title) for title in ("key", "one", "two", "three")]
    rows = [[text(cell) for cell in ("k", "aaaa", "bbbbbb", "c")]]
    lines = joined(table(columns, rows, width)).splitlines()
    for word in ("one", "two", "three", "aaaa", "bbbbbb", "c"):
        assert sum(word in line.split() for line in lines) == 1
    # a column beside the keys is the least that is shown
    assert max(map(len, lines)) <= max(width, len("key  bbbbbb"))
    repeated = sum(line.startswith("key") for line in lines)
    assert repeated == sum(line.startswith("k ") for line in lines)
    assert repeated == (1 if width >= len("key  aaaa  bbbbbb  three") else max(repeated, 2))


def test_text_of_strangers_cannot_move_the_cursor():
    assert clean("a\x1b[2Jb\r\nc\td\x00\u202e") == "a\\x1b[2Jb\nc       d\\x00\\u202e"


def test_wrapped_lines_fit():
    for width in range(24, 60):
        for line in wrapped(text("seven words are too many for one\n\nline"), width, 4):
            assert len(line.plain) <= width
            assert line.plain.startswith("    ") or not line.plain
    content = "never folded where nobody asks for it " * 9
    assert [line.plain for line in wrapped(text(content), None)] == [content.rstrip()]
    assert joined(labelled("label", [text("one"), text("two")], None, 9)) == (
        "  label  one\n         two"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (math.nan, "-"),
        (math.inf, "inf"),
        (0.0, "0.00"),
        (0.456, "0.46"),
        (12.34, "12.3"),
        (999.6, "1000"),
        (12345.0, "1.2e4"),
        (3.4e16, "3.4e16"),
    ],
)
def test_number(value: float | None, shown: str):
    assert number(value) == shown


def test_share():
    assert [share(x) for x in (0, 0.016, 0.1, 1)] == ["0 %", "1.6 %", "10 %", "100 %"]


# verdicts


def test_verdict_tells_everything():
    told = joined(verdict_lines(verdict(), None))
    assert told.startswith("WRONG(A4)  mine as td_error in float64\n")
    for part in (
        "  diagnosis    it does this\n               https://github.com/thu-ml/tianshou/issues/869",
        "  called       mine(rewards)\n               a remark\n",
        "12.3 in units of its bound, at result[0, 1] of a free case; 10 cases",
        "claims 2^-53, behaves like 2^-2",
        "1 of 2 laws",
        "reference - equals the NumPy reference (fails on 4 of 10 cases)",
        "law: one-step - what one step is (fails on 3 of 10 cases)",
        "  excused      excused: law: x (why)",
        "  printed      loud\\x07",
    ):
        assert part in told, part
    assert told.endswith("\n\n# the smallest input found that shows it, as a program\n"
                         "print('a program')")  # fmt: skip


def test_program_is_never_folded():
    program = "inputs = " + "x" * 200
    lines = [line.plain for line in verdict_lines(verdict(counterexample=program), 40)]
    assert lines[-1] == program
    assert max(len(line) for line in lines[:-2] if "https" not in line) <= 40


def test_right_verdict_is_short():
    right = verdict(
        ok=True, grade="EXACT", qualifier="", broken=(), diagnosis="", citations=(),
        counterexample="", notes=(), printed="",
    )  # fmt: skip
    told = joined(verdict_lines(right, None))
    for label in ("diagnosis", "broken", "excused", "printed", "convention", "program"):
        assert label not in told


def test_verdict_says_how_to_declare():
    two = verdict(grade="CONVENTION", qualifier="a=b, c=d", convention="a=b, c=d")
    assert "\n                 --convention a=b --convention c=d\n" in joined(
        verdict_lines(two, None)
    )
    assert "a=b, c=d, as declared" in joined(verdict_lines(dataclasses.replace(two, ok=True), None))
    biased = verdict(grade="KNOWN-BIAS", qualifier="1/2")
    assert "\n                 --factor 1/2\n" in joined(verdict_lines(biased, None))


# rows


def row(**changes: object) -> Row:
    right = verdict(ok=True, grade="TIGHT", qualifier="", broken=(), worst=0.5)
    known = {
        "contract": "td_error",
        "topic": "returns",
        "verdict": right,
        "rollouts": dataclasses.replace(right, worst=0.25, draws=11),
        "gradient": 0.75,
        "laws": (2, 2),
        "mutants": Mutants(8, 8, "A24", 0.016, (), (), ("A4", "A24")),
        "nanoseconds": 3.0,
        "copies": 7.5,
        "ok": True,
    }
    return Row(**{**known, **changes})


MACHINE = {"processor": "some CPU", "cores": 2, "torch": "2.0", "device": "cpu"}


def test_rows():
    lines = joined(row_lines([row()], MACHINE, 4.2, None)).splitlines()
    cells = [cell for cell in lines[1].split("  ") if cell]
    assert [cell.strip() for cell in cells] == [
        "td_error", "float64", "TIGHT", "0.50", "2/2", "8/8", "A24 1.6 %", "TIGHT 0.25 (11)",
        "0.75", "3.00", "7.50", "yes",
    ]  # fmt: skip
    assert lines[-1] == (
        "1 row, all ok; 8 of 8 known bugs killed, 2 distinct mistakes; 4 s on some CPU, "
        "2 cores, cpu, torch 2.0"
    )


def test_wrong_rows_are_told_in_detail():
    silent = verdict(tallies=(Tally("law: one-step", 0, 0),))
    wrong = row(
        ok=False, verdict=silent, gradient=math.nan, laws=(0, 1),
        mutants=Mutants(7, 8, "A24", 0.5, ("A4",), ("form: law",)),
        rollouts=verdict(dtype="float64", diagnosis="wrong on rollouts"),
    )  # fmt: skip
    told = joined(row_lines([wrong, row()], MACHINE, 4.2, None))
    assert "1 of 2 rows wrong; 7 of 8 known bugs killed" in told.replace("8 of 8", "7 of 8")
    for part in (
        "td_error in float64 is not right:",
        "  gradient     - in units of its bound",
        "  not killed   A4",
        "  flagged      form: law",
        "  said nothing law: one-step",
        "WRONG(A4)  mine as td_error in float64",
        "  on recorded rollouts:",
        "wrong on rollouts",
    ):
        assert part in told, part


# matrices


def test_matrix():
    killed, hidden = CONTRACT.known_bugs[:2]
    checks = ["law: one-step", "law: telescopes", "example: by hand"]
    rows = [BugRow(killed, 0.5, checks[:1]), BugRow(hidden, 0.01, [])]
    matrix = Matrix(CONTRACT, checks, rows, ["a form: one-step"])
    assert matrix.holes == [
        f"no check kills {hidden.id}",
        "law: telescopes kills no known bug",
        "an equivalent is flagged: a form: one-step",
        f"{hidden.id} is seen on 1.0 % of the draws, wanted 10 %",
    ]
    told = joined(matrix_lines(matrix, None))
    for part in ("50 %  a . .\n", "no check: EMPTY ROW", "a  law: one-step (kills 1)"):
        assert part in told, part
    assert "b  law: telescopes EMPTY COLUMN" in told
    for hole in matrix.holes:
        assert hole in told
    sound = Matrix(CONTRACT, checks[:1], rows[:1])
    assert sound.holes == []


# explanations


def test_every_contract_is_explained():
    for contract in contracts.contracts():
        told = rlverify.explain(contract.name)
        assert contract.source in " ".join(told.split())
        assert contract.reference.__doc__.strip().splitlines()[0] in told
        for item in (*contract.laws, *contract.conventions, *contract.equivalents):
            assert " ".join(item.sentence.split()) in " ".join(told.split())
        for bug in contract.known_bugs:
            entry = citation(bug.id)
            assert f"{entry.id} {entry.name}" in told
            assert entry.link in told


@pytest.mark.parametrize("width", [60, 80])
def test_explanation_fits(width: int):
    told = explanation(contracts.find("gae"), width).partition("Arguments, as")[2]
    for line in told.splitlines():
        # an address or a path that is folded cannot be followed; headings are left to the terminal
        assert len(line) <= width or len(line.split()) == 1 or line[0] != " ", line


def test_headings_stand_out():
    lines = headed("gae: it\n\nArgs:\n    x: a number\nLaws:\n  one")
    assert [line.plain for line in lines if line.style == "bold"] == ["gae: it", "Args:", "Laws:"]


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="did you mean gae"):
        rlverify.explain("gea")


# JSON


def test_plain():
    value = {
        1: (np.float64(1.5), np.inf, -np.inf, float("nan"), Fraction(1, 2)),
        "array": np.array([[True, False]]),
        "else": {np.int64(3)},
    }
    assert plain(value) == {
        "1": [1.5, "inf", "-inf", "nan", "1/2"],
        "array": [[True, False]],
        "else": [3],
    }


def test_document():
    record = verdict_record(verdict())
    found = json.loads(document("check", {"seed": 0}, [record], ok=False, more=math.nan))
    assert list(found) == ["schema", "version", "command", "arguments", "ok", "more", "results"]
    assert (found["schema"], found["version"]) == ("rlverify/1", rlverify.__version__)
    (told,) = found["results"]
    assert told["smallest"]["arguments"] == {"rewards": [["nan", "inf"]], "gamma": 0.5}
    assert told["checks"][0] == {
        "check": "reference",
        "sentence": "equals the NumPy reference",
        "applied": 10,
        "failed": 4,
        "worst": "inf",
    }
