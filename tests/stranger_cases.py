"""What the tests of `calling` and of `isolation` share: strangers, cases and how to judge.

All numbers are multiples of 1/4 and discounts are 1/2, so that short recordings are computed
without a rounding, in float64 and in float32: results are compared for equality.
"""

import importlib

import numpy as np

from rlverify.calling import in_process
from rlverify.contract import Case, Contract
from rlverify.contracts import find

SHAPES = ((1, 1), (1, 3), (4, 1), (3, 3), (6, 2))


def drawn(contract: Contract, shape: tuple[int, int], seed: int) -> Case:
    """Return a case with every kind of end; no two numbers of an array are equal."""
    rng = np.random.default_rng(seed)
    arguments = {}
    for item in contract.arguments:
        if item.kind == "float":
            arguments[item.name] = rng.permutation(np.arange(1.0, 1 + shape[0] * shape[1])) / 4
            arguments[item.name] = (arguments[item.name] * rng.choice([-1, 1])).reshape(shape)
        elif item.kind in ("flag", "mask"):
            arguments[item.name] = rng.random(shape) < 0.3
        else:
            arguments[item.name] = 2 if item.kind == "count" else 0.5
    if "mask" in arguments:
        arguments["mask"][-1, -1] = True
    return Case(arguments)


def stranger(path: str) -> object:
    module, _, names = path.partition(":")
    value = importlib.import_module(f"strangers.{module}")
    for name in names.split("."):
        value = getattr(value, name)
        value = value() if isinstance(value, type) else value
    return value


# function: contract, declared call, words of the mapping
STRANGERS = {
    "one_dimensional:compute_gae": ("gae", None, "last_value=next_values[-1]; column by column"),
    "one_dimensional:returns_first": ("gae", None, "-> returns, advantages; column by column"),
    "one_dimensional:discount_cumsum": ("discounted_return", None, "-> returns; numpy"),
    "extended_values:calculate_advantages": (
        "gae",
        "calculate_advantages(rewards, values+bootstrap, done:after, gamma, lam)",
        "advantages=adv, returns=value_targets; numpy",
    ),
    "extended_values:nothing_follows": (
        "gae",
        "nothing_follows(rewards, not_done:after, values, gamma, lam)",
        "tau=lam; -> advantages; numpy",
    ),
    "batch_first:gae": ("gae", None, "torch; batch-major"),
    "batch_first:with_bootstrap": ("gae", None, "torch; batch-major; flags as floats"),
    "rlax_like:truncated_generalized_advantage_estimation": (
        "gae",
        "truncated_generalized_advantage_estimation"
        "(rewards, discounts, lam, values+bootstrap) -> advantages",
        "discount_t=gamma*(1-terminated); jax; column by column",
    ),
    "rlax_like:lambda_returns": (
        "lambda_return",
        "lambda_returns(rewards, discounts, v_t=next_values, lambda_=lam)",
        "r_t=rewards; v_t=next_values; jax",
    ),
    "rlax_like:td_learning": ("td_error", None, "v_tm1=values; v_t=next_values; jax"),
    "cleanrl_like:compute": ("gae", None, "done:start; next_done=(terminated|truncated)[-1]"),
    "cleanrl_like:no_next_done": ("gae", None, "done:start; torch; flags as floats"),
    "in_classes:Estimator.estimate": ("gae", None, "advantages=advantage, returns=targets"),
    "in_classes:Estimator.as_pair": ("gae", None, "discount=gamma; advantages=adv, returns"),
    "in_classes:Estimator.built_in": (
        "gae",
        "built_in(rewards, values, bootstrap, done:after) where gamma=0.5, lam=0.5",
        "where gamma=0.5, lam=0.5",
    ),
    "other_topics:td_targets": ("td_error", None, "discount_factor=gamma; numpy"),
    "other_topics:bootstrapped": ("discounted_return", None, "last_value=next_values[-1]"),
    "other_topics:dreamer": ("lambda_return", None, "pcont=gamma*(1-terminated); numpy"),
    "other_topics:n_step": ("n_step_return", None, "terminations=terminated; n_steps=n; numpy"),
    "other_topics:token_gae": ("sequence_gae", None, "response_mask=mask; torch; row by row"),
    "other_topics:token_gae_time_major": ("sequence_gae", None, "numpy; time-major"),
    "other_topics:normalize": (
        "normalize_advantages",
        "normalize(advantages) where ddof=0, eps=0.5",
        "adv=advantages",
    ),
}


def made(path: str, make):
    contract_name, call, _ = STRANGERS[path]
    return make(path, find(contract_name), call)


def here(path: str, contract: Contract, call: str | None):
    return in_process(stranger(path), contract, call=call)


def agree(candidate, contract: Contract) -> None:
    cases = [
        candidate.project(drawn(contract, shape, seed)) for shape in SHAPES for seed in range(8)
    ]
    if contract.name == "normalize_advantages":  # a root is not exact; these two are
        cases = [Case({**cases[0].arguments, "advantages": np.array([[1.0, 3.0], [3.0, 1.0]])})]
    results = candidate.run(cases, candidate.dtypes[0])
    for case, result in zip(cases, results, strict=True):
        assert result.failure is None, result.failure.sentence
        wanted = contract.named(contract.reference(**case.arguments))
        for name in candidate.outputs:
            assert np.array_equal(result.outputs[name], wanted[name]), (name, case)


def misbehaving_case(candidate) -> Case:
    return candidate.project(drawn(find("gae"), (3, 2), 0))


def strangers_folder() -> str:
    return str(importlib.import_module("strangers").__path__[0])
