"""docs/claims.md is what the tests say today."""

import subprocess
import sys

import pytest

from claims_table import CLAIMS, COMMAND, PAGE, ROOT, held_by, page

# of the issues that are done; a claim whose last test goes must not silently become "later"
DUE = {f"C{n}" for n in (*range(1, 15), *range(16, 31), *range(34, 39))}


@pytest.fixture(scope="module")
def items(request):
    """Every test, if this run has collected the whole suite; None if it has not."""
    whole = {str(ROOT / "tests"), "tests", str(ROOT)}
    arguments = {str(argument) for argument in request.config.args}
    return request.session.items if arguments <= whole and not selected(request.config) else None


def selected(config):
    options = ("keyword", "deselect", "ignore", "ignore_glob", "lf")
    everything = config.getoption("markexpr") in ("", "not slow")  # the page has no slow tests
    return not everything or any(config.getoption(name, None) for name in options)


def test_the_page_is_up_to_date(items):
    if items is not None:
        assert page(items) == PAGE.read_text(encoding="utf-8"), f"run {COMMAND}"
        return
    command = [sys.executable, str(ROOT / "tests" / "claims_table.py"), "--check"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_no_claim_is_lost():
    text = PAGE.read_text(encoding="utf-8")
    rows = {
        line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("| C")
    }
    assert list(rows) == list(CLAIMS)
    assert {claim for claim, row in rows.items() if row.split("|")[4].strip() != "later"} >= DUE


class Marked:
    """A collected test, as far as the table looks at it."""

    nodeid = "test_x.py::test_y"
    originalname = "test_y"
    path = PAGE

    def __init__(self, *claims):
        self.claims = claims

    def iter_markers(self, name):
        assert name == "claim"
        return (pytest.mark.claim(claim).mark for claim in self.claims)


def test_an_unknown_claim_is_refused():
    assert held_by([Marked("C7", "C9")])["C9"] == ["`claims.md::test_y`"]
    with pytest.raises(pytest.UsageError, match=r"unknown claims: \['C99'\]"):
        held_by([Marked("C99")])
