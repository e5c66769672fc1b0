"""How strangers write losses, normalisation, moments and optimisers, and what `check` makes of it.

A row is a function of tests/strangers, the contract it is held to, the call where names do not
say it, and the verdict; `right` stands for EXACT, TIGHT and BOUND.
"""

import importlib
from typing import NamedTuple

import rlverify

BUDGET = 60


class Row(NamedTuple):
    """One function, and what is found out about it."""

    path: str
    contract: str
    verdict: str
    call: str | None = None

    @property
    def function(self):
        module, _, name = self.path.partition(":")
        return getattr(importlib.import_module(f"strangers.{module}"), name)

    def judged(self):
        """Return the verdict of `rlverify.check`."""
        return rlverify.check(self.function, self.contract, call=self.call, budget=BUDGET)

    def found(self):
        """Return the verdict as the table has it."""
        verdict = self.judged()
        return "right" if verdict.grade in ("EXACT", "TIGHT", "BOUND") else verdict.title


def rows_of(module, contract, verdicts, calls=None):
    """Return rows of the functions of a module that are held to one contract."""
    return [
        Row(f"{module}:{name}", contract, verdict, (calls or {}).get(name))
        for name, verdict in verdicts.items()
    ]


ROWS = [
    *rows_of("surrogates", "ppo_clip_loss", {
        "two_losses": "right",
        "smaller_objective": "right",
        "edge_by_sign": "right",
        "one_sided": "right",
        "from_negated": "right",
        "two_ranges": "right",
        "masked": "right",
        "padded": "right",
        "indexed": "right",
        "guarded": "CONVENTION(log_ratio=clamped-at-20)",
        "dual": "CONVENTION(dual_clip=at-3)",
        "summed": "CONVENTION(reduction=sum)",
        "objective": "CONVENTION(sign=objective)",
        "by_sequence": "CONVENTION(reduction=mean-of-rows)",
        "around_zero": "WRONG(E1)",
        "not_used": "WRONG(E3)",
        "optimistic": "WRONG(E4)",
        "own_copy": "WRONG(E5)",
        "inverted": "WRONG(E6)",
        "squared": "WRONG(E43)",
        "along_the_other_axis": "WRONG(K12)",
        "outer": "WRONG(A20)",
        "blind_to_padding": "WRONG(E12)",
        "divided_by_all": "WRONG(E13)",
        "multiplied": "WRONG(K6)",
        "detached": "WRONG",
    }, {"padded": "padded(log_probs, old_log_probs, advantages, not_mask, clip_range)"}),
    *rows_of("critics", "clipped_value_loss", {
        "half_of_the_larger": "right",
        "through_zero": "right",
        "half_plain": "right",
        "whole": "CONVENTION(half=absent)",
        "plain": "CONVENTION(half=absent)",
        "held_alone": "CONVENTION(clip=difference-alone)",
        "clamped_error": "CONVENTION(clip=loss)",
        "recomputed": "WRONG(E19)",
        "optimistic": "WRONG(E21)",
        "outer": "WRONG(A20)",
        "blind_to_padding": "WRONG(E12)",
        "divided_by_all": "WRONG(E13)",
        "multiplied": "WRONG(K6)",
        "between_bounds": "WRONG(K6)",
        "reversed_bounds": "WRONG",
        "unreduced": "WRONG",
    }),
    *rows_of("divergences", "approximate_kl", {
        "k1_of_old": "right",
        "k1_of_ratio": "right",
        "k1_masked": "right",
        "k2_half_square": "right",
        "from_negated": "right",
        "k3_as_written": "CONVENTION(k3=as-written)",
        "k3_expm1": "CONVENTION(k3=as-written)",
        "all_of_them": "CONVENTION(k3=as-written)",
        "summed": "CONVENTION(reduction=sum)",
        "without_the_half": "KNOWN-BIAS(2)",
        "clamped_before": "WRONG(E30)",
        "negative_k1": "WRONG(E32)",
        "exchanged_k3": "WRONG(E32)",
        "blind_to_padding": "WRONG(E12)",
        "divided_by_all": "WRONG(E13)",
        "multiplied": "WRONG(K6)",
    }),
    *rows_of("standardisers", "normalize_advantages", {
        "torch_std": "right",
        "numpy_std": "right",
        "with_knobs": "right",
        "masked": "right",
        "torch_var": "CONVENTION(eps=inside-the-root)",
        "masked_rsqrt": "CONVENTION(eps=inside-the-root)",
        "layer_norm": "CONVENTION(eps=inside-the-root)",
        "clamped": "CONVENTION(eps=clamp)",
        "not_used": "WRONG(E8)",
        "no_epsilon": "WRONG(E10)",
        "along_one_axis": "WRONG(E11)",
        "blind_to_padding": "WRONG(E12b)",
        "divided_by_all": "WRONG(E13b)",
        "squares_less_mean_square": "WRONG(J5)",
        "multiplied": "WRONG(K6b)",
    }),
    *rows_of("policies", "gaussian_kl", {
        "kl_of_log_variances": "CONVENTION(evaluation=textbook)",
        "kl_with_a_parenthesis_too_few": "WRONG(F4)",
    }),
    *rows_of("moments", "running_moments_update", {
        "RunningMeanStd": "right",
        "TorchMoments": "right",
        "Welford": "right",
        "update": "right",
        "sum_of_squares": "CONVENTION(spread=sum-of-squares)",
        "CountedOnce": "WRONG(J1)",
        "Overwritten": "WRONG(J2)",
        "Naive": "WRONG(J5)",
        "MeanForVariance": "WRONG(J6)",
        "NoDistance": "WRONG(J15)",
    }),
    *rows_of("moments", "running_moments_merge", {"from_moments": "right"}),
    *rows_of("moments", "running_moments_normalize", {
        "normalized": "right",
        "normalized_beside": "CONVENTION(eps=added-to-the-deviation)",
        "normalized_without_epsilon": "WRONG(E10)",
        "normalized_by_itself": "WRONG(J10)",
        "normalized_by_variance": "WRONG(J16)",
    }),
    *rows_of("moments", "scale_rewards", {
        "reward_scaling": "right",
        "reward_scaling_endless": "WRONG(J7a)",
        "reward_scaling_early": "WRONG(J7b)",
    }),
    *rows_of("optimisers", "adam", {
        "adam": "right",
        "torchs_adam": "right",
        "mpi_adam": "CONVENTION(epsilon=uncorrected)",
        "adam_eps_root": "CONVENTION(epsilon=under-root)",
        "adam_from_zero": "CONVENTION(counting=from-zero)",
        "adam_uphill": "WRONG(O6)",
        "adam_uncorrected": "WRONG(O10c)",
        "adam_without_root": "WRONG(O11)",
    }),
    *rows_of("optimisers", "rmsprop", {
        "rmsprop": "right",
        "rmsprop_tf_like": "right",
        "rmsprop_either": "right",
        "rmsprop_deaf_outside": "WRONG(L5a)",
        "rmsprop_deaf_inside": "WRONG(L5b)",
        "rmsprop_without_root": "WRONG(O11)",
    }),
    *rows_of("optimisers", "clip_grad_norm", {
        "global_norm": "right",
        "torchs_clipping": "CONVENTION(epsilon=beside-the-norm)",
        "first_alone": "WRONG(E38)",
        "only_measured": "WRONG(E39)",
        "by_value": "WRONG(O15)",
        "always_scaled": "WRONG(O16)",
        "squared_norm": "WRONG(O17)",
    }),
    *rows_of("optimisers", "linear_schedule", {
        "mixed": "right",
        "progress_remaining": "right",
        "annealed": "CONVENTION(counting=from-one)",
        "one_ahead": "WRONG(E37a)",
        "never": "WRONG(E37b)",
        "beyond": "WRONG(E37c)",
        "staircase": "WRONG(E37d)",
        "epsilon_schedule": "WRONG(O1)",
    }),
    *rows_of("optimisers", "orthogonal", {
        "qr": "right",
        "qr_as_it_comes": "CONVENTION(signs=as-factorised)",
        "qr_reshaped": "WRONG(L7a)",
        "qr_without_gain": "WRONG(L7b)",
        "qr_gain_squared": "WRONG(L7c)",
        "unit_columns": "WRONG(O3)",
        "svd": "WRONG",
    }),
]  # fmt: skip
