"""FiniteMDP: what it refuses, and that files keep every bit."""

import json
import os
import re
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlverify.tabular_envs.finite_mdp import ARRAYS, FiniteMDP

EPS = np.finfo(np.float64).eps


def arrays(states=3, actions=2):
    """Arguments of a process in which every (state, action) leads anywhere, evenly."""
    shape = (states, actions, states)
    return {
        "transition": np.full(shape, 1 / states),
        "reward": np.arange(np.prod(shape), dtype=np.float64).reshape(shape),
        "terminal": np.arange(np.prod(shape)).reshape(shape) % 3 == 0,
        "start": np.full(states, 1 / states),
        "name": "even",
    }


def same_bits(one, other):
    return one.name == other.name and all(
        getattr(one, field).dtype == getattr(other, field).dtype
        and getattr(one, field).shape == getattr(other, field).shape
        and getattr(one, field).tobytes() == getattr(other, field).tobytes()
        for field in ARRAYS
    )


def test_arrays_are_copied_and_cannot_be_written():
    given_arrays = arrays()
    mdp = FiniteMDP(**given_arrays)
    given_arrays["transition"][0, 0, 0] = 7
    given_arrays["start"][0] = 7
    assert mdp.transition[0, 0, 0] == 1 / 3
    assert mdp.start[0] == 1 / 3
    assert (mdp.states, mdp.actions) == (3, 2)
    for field in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(mdp, field)[...] = 0
    with pytest.raises(AttributeError):
        mdp.name = "other"


def spoiled(field, index, value):
    changed = arrays()
    changed[field][index] = value
    return changed


REFUSALS = {
    "list": (
        arrays() | {"transition": [[[1.0]]]},
        TypeError,
        "FiniteMDP: transition came as list, wanted a floating-point array [S, A, S].",
    ),
    "rank": (
        arrays() | {"reward": np.zeros((3, 2))},
        ValueError,
        "FiniteMDP: reward came with shape (3, 2), wanted [S, A, S].",
    ),
    "reward shape": (
        arrays() | {"reward": np.zeros((3, 3, 3))},
        ValueError,
        "FiniteMDP: reward has shape (3, 3, 3), but transition has shape (3, 2, 3); "
        "they must agree.",
    ),
    "terminal dtype": (
        arrays() | {"terminal": np.zeros((3, 2, 3))},
        TypeError,
        "FiniteMDP: terminal came as dtype float64, wanted bool.",
    ),
    "terminal shape": (
        arrays() | {"terminal": np.zeros((3, 2, 2), dtype=bool)},
        ValueError,
        "FiniteMDP: terminal has shape (3, 2, 2), but transition has shape (3, 2, 3); "
        "they must agree.",
    ),
    "start shape": (
        arrays() | {"start": np.full(4, 0.25)},
        ValueError,
        "FiniteMDP: start has shape (4,), but transition has shape (3, 2, 3); they must agree.",
    ),
    "not square": (
        {
            name: value[:2] if name in {"transition", "reward", "terminal"} else value
            for name, value in arrays().items()
        },
        ValueError,
        "FiniteMDP: transition came with shape (2, 2, 3), wanted [S, A, S] with as many next "
        "states as states.",
    ),
    "float32": (
        {
            name: value.astype("float32") if name in {"transition", "reward", "start"} else value
            for name, value in arrays().items()
        },
        TypeError,
        "FiniteMDP: transition came as dtype float32, wanted float64; "
        "pass transition.astype('float64').",
    ),
    "negative": (
        spoiled("transition", (2, 1), [1.5, -0.5, 0.0]),
        ValueError,
        "FiniteMDP: transition[2, 1, 1] came as -0.5, wanted a probability.",
    ),
    "sum": (
        spoiled("transition", (1, 0), [0.5, 0.25, 0.0]),
        ValueError,
        "FiniteMDP: transition[1, 0] came with sum 0.75, wanted 1; divide the row by its sum.",
    ),
    "start sum": (
        spoiled("start", slice(None), [1.0, 0.5, 0.0]),
        ValueError,
        "FiniteMDP: start came with sum 1.5, wanted 1; divide the row by its sum.",
    ),
    "nan": (
        spoiled("transition", (0, 1, 2), np.nan),
        ValueError,
        "FiniteMDP: transition[0, 1, 2] came as nan, wanted a finite number.",
    ),
    "inf": (
        spoiled("reward", (0, 0, 1), np.inf),
        ValueError,
        "FiniteMDP: reward[0, 0, 1] came as inf, wanted a finite number.",
    ),
    "name": (
        arrays() | {"name": 3},
        TypeError,
        "FiniteMDP: name came as int, wanted a string.",
    ),
    "unprintable": (
        arrays() | {"name": "a\0"},
        ValueError,
        "FiniteMDP: name came as 'a\\x00', wanted printable characters.",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case):
    arguments, kind, message = REFUSALS[case]
    with pytest.raises(kind, match="^" + re.escape(message) + "$"):
        FiniteMDP(**arguments)


@given(
    weights=hnp.arrays(
        np.float64, st.tuples(st.integers(1, 40)), elements=st.floats(2.0**-20, 2.0**20)
    ),
    sign=st.sampled_from([-1, 1]),
)
@settings(max_examples=200, deadline=None)
def test_rows_may_differ_from_one_by_rounding_and_by_no_more(weights, sign):
    states = len(weights)
    row = weights / weights.sum()
    made = arrays(states, 1) | {"start": row}
    assert FiniteMDP(**made).start.tobytes() == row.tobytes()
    # twice the allowance of states * EPS, plus what row itself may already be off
    row = row.copy()
    row[row.argmax()] += sign * 3 * states * EPS
    with pytest.raises(ValueError, match=r"start came with sum .*, wanted 1"):
        FiniteMDP(**made | {"start": row})


@st.composite
def processes(draw):
    states, actions = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = (states, actions, states)
    weights = draw(hnp.arrays(np.float64, shape, elements=st.floats(2.0**-30, 1)))
    finite = st.floats(allow_nan=False, allow_infinity=False)  # with −0.0 and subnormals
    start = np.zeros(states)
    start[draw(st.integers(0, states - 1))] = 1
    return FiniteMDP(
        weights / weights.sum(axis=-1, keepdims=True),
        draw(hnp.arrays(np.float64, shape, elements=finite)),
        draw(hnp.arrays(np.bool_, shape)),
        start,
        draw(st.text().filter(str.isprintable)),
    )


@given(mdp=processes(), suffix=st.sampled_from([".npz", ".json"]))
@settings(max_examples=100, deadline=None)
def test_files_keep_every_bit(mdp, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"process{suffix}"
        mdp.save(path)
        assert same_bits(FiniteMDP.load(path), mdp)
        mdp.save(str(path))  # over an existing file
        assert same_bits(FiniteMDP.load(str(path)), mdp)
        assert os.listdir(folder) == [path.name]


@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
@settings(max_examples=200, deadline=None)
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_damaged_file_is_refused_or_harmless(suffix, position, flip, cut):
    mdp = FiniteMDP(**arrays())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"process{suffix}"
        mdp.save(path)
        content = bytearray(path.read_bytes())
        at = int(position * len(content))
        content[at] ^= flip
        path.write_bytes(content[:at] if cut else content)
        try:
            loaded = FiniteMDP.load(path)
        except ValueError as error:
            assert str(error).startswith("FiniteMDP.load: ")  # noqa: PT017
        else:
            assert not cut
            # zip keeps a checksum of each array; JSON can only be read as it stands
            assert suffix == ".json" or same_bits(loaded, mdp)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "process.npz"
    FiniteMDP(**arrays()).save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        FiniteMDP(**arrays() | {"name": "new"}).save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["process.npz"]


@pytest.mark.parametrize("call", ["save", "load"])
def test_unknown_suffix(call, tmp_path):
    path = tmp_path / "process.pkl"
    message = f"FiniteMDP.{call}: path came as '{path}', wanted a name that ends in .npz or .json."
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        FiniteMDP(**arrays()).save(path) if call == "save" else FiniteMDP.load(path)
    assert os.listdir(tmp_path) == []


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        FiniteMDP.load(tmp_path / "none.npz")


class Explosive:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_pickled_content_is_never_executed(tmp_path):
    path = tmp_path / "process.npz"
    np.savez(path, transition=np.array([Explosive()], dtype=object))
    with pytest.raises(ValueError, match=r"malformed \(Object arrays cannot be loaded"):
        FiniteMDP.load(path)


MALFORMED_JSON = {
    "no object": (lambda record: [1, 2], "the file holds a list, not an object"),
    "missing": (lambda record: record.pop("start") and record, "came with the fields"),
    "extra": (lambda record: record | {"gamma": 1}, "came with the fields"),
    "version": (lambda record: record | {"version": 2}, "wanted rlverify.FiniteMDP version 1"),
    "format": (lambda record: record | {"format": "other"}, "came in another format"),
    "ragged": (lambda record: record | {"start": [[1], [1, 2]]}, "malformed"),
    "text": (lambda record: record | {"start": ["1", "0", "0"]}, "start came as dtype <U1"),
    "flags": (lambda record: record | {"start": [True, False, False]}, "start came as dtype bool"),
    "huge": (lambda record: record | {"start": [10**400, 0, 0]}, "start came as dtype object"),
    "null": (lambda record: record | {"start": None}, "start came as NoneType"),
    "number": (lambda record: record | {"start": 1.0}, "start came as float"),
    "nan": (lambda record: record | {"start": [float("nan"), 0, 1]}, r"start\[0\] came as nan"),
    "sum": (lambda record: record | {"start": [1, 1, 0]}, "start came with sum 2.0"),
}


@pytest.mark.parametrize("case", MALFORMED_JSON)
def test_malformed_json(case, tmp_path):
    spoil, message = MALFORMED_JSON[case]
    path = tmp_path / "process.json"
    FiniteMDP(**arrays()).save(path)
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match="^FiniteMDP.load: .*" + message):
        FiniteMDP.load(path)


def test_malformed_files_of_other_kinds(tmp_path):
    nested = tmp_path / "deep.json"
    nested.write_text("[" * 100_000)
    single = tmp_path / "single.npz"
    with open(single, "wb") as file:
        np.save(file, np.zeros(3))
    foreign = tmp_path / "foreign.npz"
    with zipfile.ZipFile(foreign, "w") as archive:
        archive.writestr("readme.txt", "hello")
    empty = tmp_path / "empty.npz"
    empty.write_bytes(b"")
    for path in (nested, single, foreign, empty):
        with pytest.raises(ValueError, match=r"^FiniteMDP\.load: "):
            FiniteMDP.load(path)


def test_json_written_by_hand_may_hold_integers(tmp_path):
    path = tmp_path / "process.json"
    path.write_text(
        '{"format": "rlverify.FiniteMDP", "version": 1, "name": "loop", "start": [1],'
        ' "transition": [[[1]]], "reward": [[[-2]]], "terminal": [[[true]]]}'
    )
    mdp = FiniteMDP.load(path)
    assert (mdp.reward.item(), mdp.reward.dtype, mdp.terminal.item()) == (-2, np.float64, True)
