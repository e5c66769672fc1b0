"""Functions that do something worse than computing wrong numbers."""

import contextlib
import ctypes
import os
import signal
import sys
import time

import numpy as np
from one_dimensional import compute_gae  # a neighbour, as a script would import it


def raises(rewards, values, dones, last_value, gamma, lam):
    raise KeyError("no such buffer")


def exits_politely(rewards, values, dones, last_value, gamma, lam):
    sys.exit("enough")


def interrupts(rewards, values, dones, last_value, gamma, lam):
    raise KeyboardInterrupt


def hangs(rewards, values, dones, last_value, gamma, lam):
    while True:
        pass


def sleeps_on_large(rewards, values, dones, last_value, gamma, lam):
    if rewards.max() > 50:
        time.sleep(60)
    return compute_gae(rewards, values, dones, last_value, gamma, lam)


def exits(rewards, values, dones, last_value, gamma, lam):
    os._exit(3)


def crashes(rewards, values, dones, last_value, gamma, lam):
    os.write(1, b"so long\n")
    ctypes.string_at(0)


def kills_itself(rewards, values, dones, last_value, gamma, lam):
    os.kill(os.getpid(), signal.SIGKILL)


def eats(rewards, values, dones, last_value, gamma, lam):
    hoard = []
    while True:
        hoard.append(np.ones(2**20))


def prints(rewards, values, dones, last_value, gamma, lam):
    print("from Python")
    print("to stderr", file=sys.stderr)
    os.write(1, b"from below\n")
    return compute_gae(rewards, values, dones, last_value, gamma, lam)


def prints_a_lot(rewards, values, dones, last_value, gamma, lam):
    print("x" * 100_000)
    return compute_gae(rewards, values, dones, last_value, gamma, lam)


def asks(rewards, values, dones, last_value, gamma, lam):
    input("continue? ")


def overwrites(rewards, values, dones, last_value, gamma, lam):
    result = compute_gae(rewards, values, dones, last_value, gamma, lam)
    rewards -= values
    return result


def aliases(rewards, values, dones, last_value, gamma, lam):
    return compute_gae(rewards, values, dones, last_value, gamma, lam)[0], values[:]


def wrong_shape(rewards, values, dones, last_value, gamma, lam):
    return np.zeros(len(rewards) + 1), np.zeros(len(rewards) + 1)


def wrong_dtype(rewards, values, dones, last_value, gamma, lam):
    advantages, returns = compute_gae(rewards, values, dones, last_value, gamma, lam)
    return advantages.astype(np.float32), returns.astype(np.float32)


def not_a_number(rewards, values, dones, last_value, gamma, lam):
    return np.full_like(rewards, np.nan), np.full_like(rewards, np.inf)


def returns_none(rewards, values, dones, last_value, gamma, lam):
    compute_gae(rewards, values, dones, last_value, gamma, lam)


def returns_text(rewards, values, dones, last_value, gamma, lam):
    return "advantages", "returns"


def forges(rewards, values, dones, last_value, gamma, lam):
    """Writes to every file that is open, among them the one its results travel through."""
    for descriptor in range(3, 20):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"\x10" + b"\0" * 7 + b"cos\nsystem\n(S'false'\ntR.")
    return compute_gae(rewards, values, dones, last_value, gamma, lam)
