"""Derivation: the gradient of a stranger's function is judged, its own autograd asked."""

from dataclasses import replace

import pytest
import torch

from rlverify.calling import in_process
from rlverify.calling.isolation import isolated
from rlverify.checking import drawn_cases
from rlverify.contracts import find
from rlverify.judging import judge

# δ = r + γV' − V, with V declared a constant, as in a residual-free critic loss
CONTRACT = replace(
    find("td_error"), gradient_judged=True, gradients=("rewards", "next_values", "gamma")
)


def right(rewards, values, next_values, terminated, gamma):
    following = torch.where(terminated, 0, next_values)
    return rewards + gamma * following - values.detach()


def not_detached(rewards, values, next_values, terminated, gamma):
    return rewards + gamma * torch.where(terminated, 0, next_values) - values


def bootstrap_detached(rewards, values, next_values, terminated, gamma):
    following = torch.where(terminated, 0, next_values.detach())
    return rewards + gamma * following - values.detach()


def masked_by_multiplication(rewards, values, next_values, terminated, gamma):
    finite = torch.where(terminated, 1.0, next_values)
    poisoned = torch.where(terminated, 0.0, finite) + (0 * next_values**0.5).nan_to_num()
    return rewards + gamma * poisoned - values.detach()


def without_gradient(rewards, values, next_values, terminated, gamma):
    with torch.no_grad():
        return not_detached(rewards, values, next_values, terminated, gamma)


def verdict(function, contract=CONTRACT):
    candidate = function
    if not isinstance(function, str):
        candidate = in_process(function, contract, arrays="torch")
    else:
        candidate = isolated(function, contract, arrays="torch")
    try:
        return judge(contract, candidate, drawn_cases(contract, 60, 0), "float64", target="f")
    finally:
        candidate.close()


def tally(found, name):
    return next(item for item in found.tallies if item.check == name)


def test_a_right_gradient_passes():
    found = verdict(right)
    assert found.ok, found.diagnosis
    assert tally(found, "gradient").applied >= 3
    assert tally(found, "gradient: constants").applied >= 3


def test_a_gradient_that_reaches_a_constant_is_wrong_and_told_where():
    found = verdict(not_detached)
    assert found.broken == ("gradient: constants",)
    assert found.title == "WRONG(L3)"
    assert "flows into values, which is a constant of td_error; detach it" in found.diagnosis


def test_a_gradient_that_stops_short_is_wrong_on_right_values():
    found = verdict(bootstrap_detached)
    assert found.broken == ("gradient",)
    assert "its values are right, its gradient is not: gradient in next_values" in found.diagnosis
    assert "gradient=True" in found.counterexample
    assert found.smallest is not None
    assert found.smallest["rewards"].size == 1


def test_a_nan_that_only_the_gradient_shows_is_found():
    found = verdict(masked_by_multiplication)
    assert found.broken == ("gradient",)
    assert found.title == "WRONG(K5)"
    assert found.link.endswith("OpenRLHF/issues/1335")


def mean_over_steps(log_probs, weights):
    return -(log_probs * weights.detach()).mean()


def mean_over_steps_leaking(log_probs, weights):
    return -(log_probs * weights).mean()


def test_under_a_convention_the_gradient_is_judged_as_the_convention_has_it():
    contract = find("policy_gradient_loss")
    verdicts = {}
    for function in (mean_over_steps, mean_over_steps_leaking):
        candidate = in_process(function, contract, arrays="torch")
        cases, name = drawn_cases(contract, 60, 0), "reduction=mean"
        verdicts[function] = judge(
            contract, candidate, cases, "float64", target="f", conventions=[name]
        )
    assert verdicts[mean_over_steps].ok, verdicts[mean_over_steps].diagnosis
    assert verdicts[mean_over_steps].title == "CONVENTION(reduction=mean)"
    leaking = verdicts[mean_over_steps_leaking]
    assert leaking.title == "WRONG(L3)"
    assert "flows into weights" in leaking.diagnosis
    assert "it also follows reduction=mean" in leaking.diagnosis


@pytest.mark.parametrize("axes", [(), ("",)])
def test_no_gradient_at_all_is_wrong_for_a_loss_only(axes):
    contract = replace(CONTRACT, axes=axes)
    candidate = in_process(without_gradient, CONTRACT, arrays="torch")
    from rlverify.derivation import check_gradient

    gradient, _ = check_gradient(contract, candidate, drawn_cases(CONTRACT, 5, 0), "float64")
    assert (gradient.applied, gradient.failed) == ((5, 5) if axes else (0, 0))


def test_a_function_without_autograd_is_not_judged():
    import numpy as np

    def plain(rewards, values, next_values, terminated, gamma):
        return rewards + gamma * np.where(terminated, 0, next_values) - values

    candidate = in_process(plain, CONTRACT, arrays="numpy")
    found = judge(CONTRACT, candidate, drawn_cases(CONTRACT, 60, 0), "float64", target="f")
    assert found.ok
    assert tally(found, "gradient").applied == 0


def test_the_gradient_of_an_isolated_function_is_judged(tmp_path):
    file = tmp_path / "stranger.py"
    file.write_text(
        "import torch\n\n\ndef td(rewards, values, next_values, terminated, gamma):\n"
        "    following = torch.where(terminated, 0, next_values)\n"
        "    return rewards + gamma * following - values\n"
    )
    found = verdict(f"{file}:td")
    assert found.broken == ("gradient: constants",)


def test_jax_is_asked_too():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def stopped(rewards, values, next_values, terminated, gamma):
        following = jnp.where(terminated, 0, next_values)
        return rewards + gamma * following - jax.lax.stop_gradient(values)

    def flowing(rewards, values, next_values, terminated, gamma):
        return rewards + gamma * jnp.where(terminated, 0, next_values) - values

    for function, broken in ((stopped, ()), (flowing, ("gradient: constants",))):
        candidate = in_process(function, CONTRACT, arrays="jax")
        found = judge(CONTRACT, candidate, drawn_cases(CONTRACT, 60, 0), "float32", target="f")
        assert found.broken == broken
