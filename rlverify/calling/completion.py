"""Values that a function may have built in, where its signature does not say which.

`adv.std() + 1e-8` has ddof 1 and ε 10⁻⁸ built in. Of such arguments the usual values are few;
each combination is one reading of the call, and whoever judges tries which of them fits.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rlverify.calling.declaration import Declaration
from rlverify.calling.expression import untold
from rlverify.contract import Argument

# by argument; the likeliest first
BUILT_IN: dict[str, tuple[Any, ...]] = {
    "estimator": ("k1", "k2", "k3"),
    "kl_estimator": ("k3", "k1", "k2"),
    "ratio": ("token", "sequence"),
    "aggregation": ("token_mean", "sequence_mean", "constant"),
    "scale": ("group", "none", "batch"),
    "activation": ("tanh", "relu"),
    "huber": (None, 1.0),
    "shared": (False, True),
    # as V-trace and Retrace have it; of GAE's there are too many
    "lam": (1.0,),
    "rho_bar": (1.0,),
    "c_bar": (1.0,),
    "rho_bar_advantage": (1.0,),
    "ddof": (1, 0),
    "eps": (1e-8, 1e-5, 1e-6, 1e-4, 1e-12, 1e-10, 1e-7, 1e-3),
    "eps_inside": (False, True),
    "to_go": (True, False),
    "discount_states": (False, True),
    "per_component": (False, True),
    "start": (1.0,),
    "end": (0.0,),
}
MOST = 48  # readings that are tried
# what a message shows of the others
_EXAMPLES = {
    "gamma": 0.99, "lam": 0.95, "fraction": 0.1, "learning_rate": 3e-4, "max_iterations": 10,
    "tolerance": 1e-10,
}  # fmt: skip


def built_in_values(arguments: Sequence[Argument]) -> str:
    """Return examples of values that a function may have built in."""
    shown = {item.name: (*BUILT_IN.get(item.name, ()), _EXAMPLES.get(item.name, 1))[0]
             for item in arguments}  # fmt: skip
    return ", ".join(f"{name}={value!r}" for name, value in shown.items())


def completions(declaration: Declaration, arguments: tuple[Argument, ...]) -> list[Declaration]:
    """Return the readings of a call that leaves open what it has built in.

    None where it leaves nothing open, something that has no usual values, or too much.
    """
    fixed = dict(declaration.fixed)
    told = [item.source for item in declaration.arguments]
    missing = [item.name for item in untold(told, arguments) if item.name not in fixed]
    if any(name not in BUILT_IN for name in missing):
        return []
    usual = [[(name, value) for value in BUILT_IN[name]] for name in missing]
    if math.prod(map(len, usual)) > MOST:
        return []
    return [
        replace(declaration, fixed=(*declaration.fixed, *values), tried=tuple(missing))
        for values in itertools.product(*usual)
        if values
    ]
