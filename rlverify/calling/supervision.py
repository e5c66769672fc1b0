"""The suite's side of one worker process: starting it, talking to it, ending it."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rlverify.calling.invocation import PRINTED
from rlverify.calling.transmission import receive, send

GRACE = 5.0  # seconds after its time limit in which a worker should have ended itself

_BOOT = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main()"
)


class Ended(Exception):
    """The worker is gone, or had to be ended."""

    def __init__(self, *, late: bool) -> None:
        self.late = late


class Worker:
    """One worker process, its log, and a thread that listens to it.

    Attributes:
        process: it runs `main` of a module; the environment may be told more.
    """

    def __init__(
        self,
        module: str = "rlverify.calling.execution",
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 (lives as long as the worker)
        path = ["" if item == os.getcwd() else item for item in sys.path]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _BOOT, json.dumps(["", *path]), module],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            start_new_session=True,  # the user's Ctrl-C is for this process
        )
        self.answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(
            target=_listen, args=(self.process.stdout, self.answers), daemon=True
        ).start()

    def tell(self, message: Any) -> None:
        """Send an order."""
        try:
            send(self.process.stdin, message)  # type: ignore[arg-type]
        except OSError:
            raise Ended(late=False) from None

    def hear(self, limit: float) -> Any:
        """Return the next answer.

        Raises:
            Ended: there is none, and will be none in time.
            ValueError: the process sends something else.
        """
        try:
            answer = self.answers.get(timeout=limit)
        except queue.Empty:
            raise Ended(late=True) from None
        if isinstance(answer, ValueError):
            raise answer
        if isinstance(answer, Exception):
            raise Ended(late=False)
        return answer

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):  # what the candidate started goes too
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End the worker, and whatever it started."""
        self._kill()
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        self.log.close()

    def epitaph(self, *, late: bool) -> tuple[str, str, str]:
        """End the worker; return how it ended, where it stood, and what it had printed."""
        if not late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=GRACE)
        code = self.process.returncode
        self._kill()
        self.log.seek(0)
        text = self.log.read(64 * PRINTED).decode(errors="replace")
        self.end()
        marks = (
            text.find(mark) for mark in ("Fatal Python error", "Current thread 0x", "Thread 0x")
        )
        start = min((mark for mark in marks if mark >= 0), default=len(text))
        if code is None:
            how = "timeout"
        elif code < 0:
            how = signal.Signals(-code).name
            how = "timeout" if how == "SIGALRM" else how
        else:
            how = f"exit status {code}"
        return how, text[start:], text[:start][:PRINTED]


def _listen(stream: Any, answers: "queue.SimpleQueue[Any]") -> None:
    """Pass on what a worker sends. It knows no worker, so that one can be collected."""
    with stream:  # closed here, since closing waits for a read that is under way
        while True:
            try:
                answers.put(receive(stream))
            except (EOFError, ValueError, OSError) as error:
                answers.put(error)
                return
