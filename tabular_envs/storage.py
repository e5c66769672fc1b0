"""A record of arrays, strings and integers as a file: NumPy `.npz` or `.json`, never pickle.

Both formats keep every bit of a float64: npz stores the bits, and JSON the shortest decimal
that reads back as the same float. A file is written under a temporary name in its own folder
and then renamed, so that a reader finds either the old file or the whole new one.
"""

import io
import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

Record = dict[str, Any]


def write_record(function: str, path: Path, record: Record) -> None:
    """Write a record of arrays, strings and integers in the format that the suffix names.

    Args:
        function: the first word of an error message.
        path: a file name that ends in `.npz` or `.json`; an existing file is replaced.
        record: field name to NumPy array (no objects), string or integer.

    Raises:
        ValueError: another suffix.
        OSError: the file cannot be written.
    """
    write, _ = _format(function, path)
    # in the same folder, for a rename must not cross file systems
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            write(record, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_record(function: str, path: Path) -> Record:
    """Read what `write_record` wrote; JSON lists of integers become float64 arrays.

    Args:
        function: the first word of an error message.
        path: a file name that ends in `.npz` or `.json`.

    Raises:
        ValueError: another suffix, or a file that is malformed or holds Python objects.
        OSError: the file cannot be read; FileNotFoundError where there is none.
    """
    _, read = _format(function, path)
    content = path.read_bytes()
    try:
        return read(io.BytesIO(content))
    except Exception as error:
        # zipfile, zlib, json and NumPy raise a dozen kinds of error on damaged files
        raise ValueError(
            f"{function}: {path} came malformed ({error}), wanted an npz or JSON record."
        ) from error


def _write_npz(record: Record, file: IO[bytes]) -> None:
    np.savez_compressed(file, **record)


def _read_npz(file: IO[bytes]) -> Record:
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("the file holds a single array")
    with archive:
        fields = {field: archive[field] for field in archive.files}
    # a zero-dimensional array stands for the string or integer that it holds
    return {name: value.item() if value.shape == () else value for name, value in fields.items()}


def _write_json(record: Record, file: IO[bytes]) -> None:
    plain = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in record.items()
    }
    file.write(json.dumps(plain, allow_nan=False).encode())


def _read_json(file: IO[bytes]) -> Record:
    record = json.loads(file.read().decode())
    if not isinstance(record, dict):
        raise ValueError(f"the file holds a {type(record).__name__}, not an object")
    return {
        name: _array(value) if isinstance(value, list) else value for name, value in record.items()
    }


def _array(numbers: list[Any]) -> np.ndarray:
    array = np.asarray(numbers)  # ragged lists are a ValueError
    # [0, 1] written by hand means the floats; anything but a number keeps its own dtype
    return array.astype(np.float64) if array.dtype.kind == "i" else array


_Write = Callable[[Record, IO[bytes]], None]
_Read = Callable[[IO[bytes]], Record]
_FORMATS: dict[str, tuple[_Write, _Read]] = {
    ".npz": (_write_npz, _read_npz),
    ".json": (_write_json, _read_json),
}


def _format(function: str, path: Path) -> tuple[_Write, _Read]:
    if path.suffix not in _FORMATS:
        raise ValueError(
            f"{function}: path came as {str(path)!r}, wanted a name that ends in .npz or .json."
        )
    return _FORMATS[path.suffix]
