"""Files are written whole or not at all."""

from pathlib import Path
from typing import Any

import pytest

from command_line import Run
from rlverify import commanding, serialization


def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def closed(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(serialization.os, "open", closed)
    monkeypatch.setattr(commanding, "named", closed)
    ran = run("mutants", "--json", "x.json")
    assert ran.status == 2
    assert f"{tmp_path} cannot be written to: Permission denied" in ran.err


def test_a_write_that_fails_midway_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "result.json"
    serialization.write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(serialization.os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            serialization.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]
    serialization.write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "new"


def test_a_link_stays_a_link(tmp_path: Path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    serialization.write_atomically(tmp_path / "link.json", "\ud800")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text(encoding="utf-8") == "\\ud800"
