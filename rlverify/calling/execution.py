"""The worker process: finds a stranger's function, calls it as told, answers in plain data.

It is started by `rlverify.calling.isolation`, which may end it at any time. Standard input
and output are the two ends of the conversation until `main` moves them out of the candidate's
reach;
what the candidate prints, at whatever level, goes to standard error, which is a file.
"""

import contextlib
import difflib
import faulthandler
import importlib
import importlib.util
import inspect
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from rlverify.calling.description import describe
from rlverify.calling.invocation import PRINTED, Call, Outcome, dtypes, failed, invoke
from rlverify.calling.remembering import as_function
from rlverify.calling.transmission import receive, send

try:
    import resource
except ImportError:  # not on Windows, where no memory limit is kept
    resource = None  # type: ignore[assignment]


class NotFound(Exception):
    """A target that does not lead to a function; the message says where the path ends."""


# --- finding the function ---------------------------------------------------------------


def find(target: str) -> Callable[..., Any]:
    """Return the function that `MODULE:FUNCTION` or `PATH.py:FUNCTION` names.

    A method named through its class is bound to an instance made without arguments.

    Raises:
        NotFound: there is no such module or function, or it needs more than its name.
    """
    place, colon, path = target.rpartition(":")
    if not colon or not place or not path:
        raise NotFound(f"{target}: wanted MODULE:FUNCTION or FILE.py:FUNCTION.")
    module = _from_file(place) if place.endswith(".py") else _from_name(place)
    value: Any = module
    owner: Any = None
    for i, name in enumerate(path.split(".")):
        if not hasattr(value, name):
            here = ".".join([place, *path.split(".")[:i]])
            names = [item for item in vars(value) if not item.startswith("_")]
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise NotFound(f"{target}: {here} has no {name}{hint}")
        owner, value = value, getattr(value, name)
    value = as_function(value)
    if inspect.isclass(value):
        raise NotFound(f"{target}: it is a class; name one of its methods, {target}.METHOD.")
    if not callable(value):
        raise NotFound(f"{target}: it is of type {type(value).__name__}, wanted a function.")
    name = path.rpartition(".")[2]
    if inspect.isclass(owner) and inspect.isfunction(inspect.getattr_static(owner, name)):
        try:
            value = getattr(owner(), name)
        except Exception as error:
            raise NotFound(
                f"{target}: {owner.__name__}() cannot be made without arguments "
                f"({_last_line(error)}); write a function that makes one and calls {name}."
            ) from error
    return value  # type: ignore[no-any-return]


def _last_line(error: BaseException) -> str:
    return traceback.format_exception_only(type(error), error)[-1].strip()


def _from_name(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotFound(
                f"{name}: there is no such module in {os.getcwd()} or among those installed."
            ) from error
        raise NotFound(f"{name}: cannot be imported: {_last_line(error)}") from error
    except BaseException as error:
        raise NotFound(f"{name}: cannot be imported: {_last_line(error)}") from error


def _from_file(path: str) -> ModuleType:
    file = Path(path)
    if not file.is_file():
        raise NotFound(f"{path}: there is no such file in {os.getcwd()}.")
    # as when Python runs a file: its neighbours can be imported
    sys.path.insert(0, str(file.resolve().parent))
    name = file.stem if file.stem not in sys.modules else f"candidate_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file.resolve())
    if spec is None or spec.loader is None:
        raise NotFound(f"{path}: Python cannot load it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        raise NotFound(f"{path}: cannot be imported: {_last_line(error)}") from error
    return module


# --- what the candidate prints ------------------------------------------------------------


def _printed() -> str:
    """Return and forget what was written to the file behind standard error."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the candidate may have closed or replaced it
            stream.flush()
    with contextlib.suppress(OSError):
        if os.fstat(2).st_size:
            data = os.pread(2, 4 * PRINTED, 0) if hasattr(os, "pread") else b""
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)
            return data.decode(errors="replace")[:PRINTED]
    return ""


# --- limits -------------------------------------------------------------------------------


def _memory_limits(beyond: int | None) -> tuple[int, int] | None:
    """Return the limit for a call, and that for other times; None where no limit can be kept."""
    if resource is None or beyond is None:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return None
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = pages * resource.getpagesize() + beyond
    return (soft if hard == resource.RLIM_INFINITY else min(soft, hard)), hard


def _allow(limits: tuple[int, int] | None, *, called: bool) -> None:
    if limits is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limits[0] if called else limits[1], limits[1]))


def _arm() -> None:
    """Let the alarm write down where the program stands, then end it.

    Both happen outside Python, whatever holds the interpreter, so a worker whose parent is gone
    ends too. Where there are no alarms, the parent ends a late worker.
    """
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=2, chain=True)


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


# --- the conversation ---------------------------------------------------------------------


def _run(
    function: Callable[..., Any],
    call: Call,
    order: dict[str, Any],
    limits: tuple[int, int] | None,
) -> Outcome:
    _allow(limits, called=True)
    _alarm(order["time_limit"])
    try:
        outcome = invoke(function, call, order["library"], order["dtype"])
    except KeyboardInterrupt as error:  # nobody else's: this process is in its own session
        outcome = failed(error)
    _alarm(0)
    _allow(limits, called=False)
    return replace(outcome, printed=_printed())


def _answer_calls(function: Callable[..., Any], order: dict[str, Any], outbox: Any) -> None:
    importlib.import_module(order["library"])  # which the limit should not count
    limits = _memory_limits(order["memory_limit"])
    lost = None  # the group whose result is lost already
    for item in order["calls"]:
        arguments = tuple((name, value) for name, value in item["arguments"])
        sought = item["sought"]
        if sought is not None:
            sought = (tuple(sought[0]), tuple((label, array) for label, array in sought[1]))
        call = Call(arguments, item["positional"], item["group"], sought)
        if call.group == lost:
            send(outbox, None)
            continue
        outcome = _run(function, call, order, limits)
        if outcome.failure:
            lost = call.group
        send(outbox, {**vars(outcome), "leaves": [vars(leaf) for leaf in outcome.leaves]})


def main() -> None:
    """Answer orders until the other side is gone."""
    inbox, outbox = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    faulthandler.enable(file=2)
    _arm()
    function: Callable[..., Any] | None = None
    while True:
        try:
            order = receive(inbox)
        except EOFError:
            os._exit(0)  # past the candidate's exit handlers and threads
        if order["do"] == "load":
            sys.argv = [order["target"]]
            try:
                function = find(order["target"])
                answer: dict[str, Any] = {"signature": asdict(describe(function))}
            except NotFound as error:
                answer = {"error": str(error)}
            warnings.simplefilter(
                "ignore"
            )  # a warning is no failure, whatever the environment says
            _printed()
            send(outbox, answer)
        elif order["do"] == "dtypes":
            send(outbox, {"dtypes": dtypes(order["library"])})
        elif function is not None:
            _answer_calls(function, order, outbox)
