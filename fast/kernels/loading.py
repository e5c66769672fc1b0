"""Compiled code of the CPU kernels: kept on disk, and loaded from there without Numba.

Numba compiles a kernel once for a machine; importing it alone takes as long as a hundred calls of
the largest kernel here. So what it made is kept as an object file, and llvmlite, the part of Numba
that talks to LLVM, loads that into the process in some milliseconds. The name of a file is a
digest of everything that its content depends on. `RLVERIFY_CACHE` names another folder; an empty
one keeps nothing on disk.
"""

import ctypes
import hashlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

Call = Callable[[bytes], Any]
SOURCES = ("rows.py", "recurrences.py", "losses.py", "loading.py")
LOSSES = ("clipped", "valued", "tokens")
ENTRY = """
define void @rlverify_entry(i64 %words) {{
  %result = alloca i8*
  %excuse = alloca {{ i8*, i32, i8*, i8*, i32 }}*
  %status = call i32 @"{symbol}"(i8** %result, {{ i8*, i32, i8*, i8*, i32 }}** %excuse, i64 %words)
  ret void
}}
"""  # Numba's convention: where the result goes, where an exception goes, then the arguments

_kept: list[Any] = []  # engines own the code that is called
_loaded: dict[tuple[str, str, bool], Call | None] = {}
_broken = False


def folder() -> Path | None:
    """Return the folder of compiled code, or None where none is to be kept."""
    named = os.environ.get("RLVERIFY_CACHE")
    if named is not None:
        return Path(named) if named else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "rlverify"


def _machine() -> Any:
    """Return llvmlite, told that code is for this machine, and a description of the latter."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=3, codemodel="jitdefault", jit=True
    )
    return llvm, target, f"{llvm.get_host_cpu_name()} {features}"


def _read(path: Path | None) -> bytes | None:
    """Return an object file, if it is there and whole."""
    if path is None:
        return None
    try:
        digest, code = path.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    return code if hashlib.sha256(code).hexdigest().encode() == digest else None


def _write(path: Path | None, code: bytes) -> None:
    """Keep an object file; a folder that cannot be written keeps nothing."""
    if path is None:
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).hexdigest().encode() + b"\n" + code)
        os.replace(temporary, path)  # whole or not at all, whoever else writes it
    except OSError:
        return


def _load(name: str, real: str, strided: bool) -> Call:
    llvm, target, machine = _machine()
    here = Path(__file__).parent
    parts = [name, real, str(strided), machine, metadata.version("numba"), sys.platform]
    parts += [(here / source).read_text(encoding="utf-8") for source in SOURCES]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    kept = folder()
    path = None if kept is None else kept / f"{name}-{digest[:32]}.o"
    compiled = _read(path)
    if compiled is None:
        if name in LOSSES:
            from rlverify.fast.kernels import losses

            code, symbol = losses.assembled(name, real)
        else:
            from rlverify.fast.kernels import recurrences

            code, symbol = recurrences.assembled(name, real, strided)
        compiled = target.emit_object(llvm.parse_assembly(code + ENTRY.format(symbol=symbol)))
        _write(path, compiled)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(compiled))
    engine.finalize_object()
    _kept.append(engine)
    address = engine.get_function_address("rlverify_entry")
    if not address:
        raise RuntimeError("no function in the compiled code")
    return ctypes.CFUNCTYPE(None, ctypes.c_char_p)(address)


def kernel(name: str, real: str, strided: bool = False) -> Call | None:
    """Return a compiled kernel, or None where this machine has none.

    Args:
        name: a name from `recurrences.MAKERS`.
        real: `float32` or `float64`.
        strided: whether its arrays have strides of their own.
    """
    global _broken
    key = (name, real, strided)
    if key in _loaded or _broken:
        return _loaded.get(key)
    try:
        _loaded[key] = _load(name, real, strided)
    except Exception as reason:
        # whatever a compiler may raise on a platform that it does not know
        _broken = True
        _loaded.clear()
        warnings.warn(
            "rlverify.fast: compiled kernels are unavailable, plain PyTorch takes over "
            f"({type(reason).__name__}: {reason}); for the kernels: pip install 'rlverify[speed]'",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return _loaded[key]
