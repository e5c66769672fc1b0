"""Messages between processes come back as they were, and nothing else comes in."""

import pickle

import numpy as np
import pytest

from rlverify.calling.transmission import pack, unpack


def test_messages_come_back_as_they_were():
    array = np.array([[1.5, -0.0], [np.nan, np.inf]])
    message = {"a": [array, {"b": np.array([True, False])}], "c": None, "d": 0.1, "e": "γ"}
    back = unpack(pack(message))
    assert back["a"][0].tobytes() == array.tobytes()
    assert back["a"][1]["b"].tolist() == [True, False]
    assert {key: back[key] for key in "cde"} == {key: message[key] for key in "cde"}


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
    ],
    ids=["empty", "pickle", "cut", "objects", "dtype", "negative", "too-long", "no-list"],
)
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(ValueError, match=r".+"):
        unpack(data)
