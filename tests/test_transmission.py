"""Messages between processes come back as they were, and nothing else comes in."""

import pickle

import numpy as np
import pytest

from rlverify.calling.transmission import pack, sendable, unpack
from rlverify.objectives import Counted, Polynomial


def test_messages_come_back_as_they_were():
    array = np.array([[1.5, -0.0], [np.nan, np.inf]])
    message = {"a": [array, {"b": np.array([True, False])}], "c": None, "d": 0.1, "e": "γ"}
    back = unpack(pack(message))
    assert back["a"][0].tobytes() == array.tobytes()
    assert back["a"][1]["b"].tolist() == [True, False]
    assert {key: back[key] for key in "cde"} == {key: message[key] for key in "cde"}


def test_tuples_and_objectives_come_back_as_they_were():
    objective = Polynomial(((3, (2, 0, 1)), (-1, ())))
    message = {"sizes": (2, 3, 5), "objective": objective, "nested": [(1, (2.5, "a"))]}
    assert unpack(pack(message)) == message
    assert all(map(sendable, (objective, (2, 3), np.ones(2), 0.5, "tanh", None)))
    assert not sendable(Counted(objective))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pickle.dumps({"a": 1}),
        pack({"a": 1})[:-1],
        pack({"__array__": ["object", [1], 0]}),
        pack({"__array__": ["float32", [0], 0]}),
        pack({"__array__": ["float64", [-1], 0]}),
        pack({"__array__": ["float64", [10], 0]}),
        pack({"__array__": 3}),
        pack({"__tuple__": 3}),
        pack({"__polynomial__": [[0.5, [1]]]}),
        pack({"__polynomial__": [[1, ["θ"]]]}),
        pack({"__polynomial__": 3}),
    ],
    ids=[
        "empty",
        "pickle",
        "cut",
        "objects",
        "dtype",
        "negative",
        "too-long",
        "no-list",
        "no-tuple",
        "no-integer",
        "no-power",
        "no-terms",
    ],
)
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        unpack(data)
