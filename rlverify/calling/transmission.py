"""Messages between the suite and a worker process: JSON, followed by the bytes of its arrays.

Nothing here can run code when it is read, unlike pickle: a stranger's function shares its
process with the writing end and could send anything.
"""

import json
from typing import Any, BinaryIO

import numpy as np

from rlverify.objectives import Polynomial, SymmetricMatrix

_ARRAY, _TUPLE, _POLYNOMIAL = "__array__", "__tuple__", "__polynomial__"
_SYMMETRIC = "__symmetric__"
_DTYPES = ("float64", "int64", "bool")
_LIMIT = 2**40  # a length beyond this is not a length


def pack(message: Any) -> bytes:
    """Return a message as bytes: length of the JSON, JSON, bytes of the arrays."""
    blobs: list[bytes] = []
    offset = 0

    def plain(value: Any) -> Any:
        nonlocal offset
        if isinstance(value, np.ndarray):
            blob = value.tobytes()
            blobs.append(blob)
            offset += len(blob)
            return {_ARRAY: [value.dtype.name, list(value.shape), offset - len(blob)]}
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, tuple):
            return {_TUPLE: [plain(item) for item in value]}
        if isinstance(value, Polynomial):
            return {_POLYNOMIAL: value.terms}
        if isinstance(value, SymmetricMatrix):
            return {_SYMMETRIC: value.rows}
        if isinstance(value, np.generic):
            return value.item()
        return value

    text = json.dumps(plain(message)).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *blobs])


def unpack(data: bytes) -> Any:
    """Return the message that `pack` was given.

    Raises:
        ValueError: the bytes are no message.
    """
    end = 8 + int.from_bytes(data[:8], "little")

    def restore(value: Any) -> Any:
        if _TUPLE in value:
            return tuple(value[_TUPLE])
        if _POLYNOMIAL in value:
            return _polynomial(value[_POLYNOMIAL])
        if _SYMMETRIC in value:
            return _symmetric(value[_SYMMETRIC])
        if _ARRAY not in value:
            return value
        name, shape, offset = value[_ARRAY]
        if name not in _DTYPES or offset < 0 or any(length < 0 for length in shape):
            raise ValueError(f"unpack: an array came as {name} {shape}, wanted {_DTYPES}.")
        count = int(np.prod(shape, dtype=object))
        flat = np.frombuffer(data, dtype=name, count=count, offset=end + offset)
        return flat.reshape(shape).copy()

    try:
        return json.loads(data[8:end], object_hook=restore)
    except (TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"unpack: bytes came that are no message ({error}).") from error


def _polynomial(terms: Any) -> Polynomial:
    """Return the polynomial of terms read from a message; anything but integers is refused."""
    found = tuple((coefficient, tuple(exponents)) for coefficient, exponents in terms)
    numbers = [number for coefficient, exponents in found for number in (coefficient, *exponents)]
    if any(type(number) is not int for number in numbers):
        raise ValueError("unpack: a polynomial came with something else than integers.")
    return Polynomial(found)


def _symmetric(rows: Any) -> SymmetricMatrix:
    """Return the matrix of rows read from a message; anything but integers is refused."""
    found = tuple(tuple(row) for row in rows)
    if any(type(number) is not int for row in found for number in row):
        raise ValueError("unpack: a matrix came with something else than integers.")
    return SymmetricMatrix(found)


def sendable(value: Any) -> bool:
    """Whether an argument can be sent: arrays, numbers, words, None, and functions as data."""
    return isinstance(value, Polynomial | SymmetricMatrix) or not callable(value)


def send(stream: BinaryIO, message: Any) -> None:
    """Write one message."""
    data = pack(message)
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
        ValueError: something came that is no message.
    """
    size = int.from_bytes(_exactly(stream, 8), "little")
    if size > _LIMIT:
        raise ValueError(f"receive: a length came as {size}, wanted at most {_LIMIT}.")
    return unpack(_exactly(stream, size))


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)  # a buffered stream returns less only at its end
    if len(data) < size:
        raise EOFError
    return data
