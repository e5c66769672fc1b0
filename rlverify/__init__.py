"""Finds the bug in a reinforcement-learning estimator, and names it.

    import rlverify
    verdict = rlverify.check(my_gae, "gae")
    print(verdict.title, verdict.diagnosis)

Names are loaded when they are first used, so that importing the package is quick and a
reference can be used without PyTorch.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Polynomial": "rlverify.objectives",
    "SymmetricMatrix": "rlverify.objectives",
    "bias": "rlverify.biasing",
    "check": "rlverify.examination",
    "run": "rlverify.examination",
    "sampled_check": "rlverify.sampling",
    "Verdict": "rlverify.judging",
    "CallError": "rlverify.calling",
    "exact_expectation": "rlverify.expectation",
    "explain": "rlverify.reporting",
    "list_contracts": "rlverify.contracts",
    "off_policy_bias": "rlverify.biasing.correction",
}

__all__ = [
    "CallError",
    "Polynomial",
    "SymmetricMatrix",
    "Verdict",
    "__version__",
    "bias",
    "check",
    "exact_expectation",
    "explain",
    "list_contracts",
    "off_policy_bias",
    "run",
    "sampled_check",
]


_MODULES = ("errors", "fast", "reference", "tabular_envs", "testing")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"rlverify.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'rlverify' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
