"""Messages between the suite and a worker process: JSON, followed by the bytes of its arrays.

Nothing here can run code when it is read, unlike pickle: a stranger's function shares its
process with the writing end and could send anything.
"""

import json
from typing import Any, BinaryIO

import numpy as np

_ARRAY = "__array__"
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
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, np.generic):
            return value.item()
        return value

    text = json.dumps(plain(message)).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *blobs])


def unpack(data: bytes) -> Any:
    """Return the message that `pack` was given, tuples as lists.

    Raises:
        ValueError: the bytes are no message.
    """
    end = 8 + int.from_bytes(data[:8], "little")

    def restore(value: dict[str, Any]) -> Any:
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
