"""From the names in a signature to what each parameter is given.

Names decide, never shapes: `last_value` is the value that follows the last step, `dones`
marks the last step of an episode unless `next_done` stands beside it. Where a name has more
than one reading in its company, nothing is guessed: the error lists the readings, each with
the call that declares it.
"""

import re
from collections.abc import Collection, Sequence

from rlverify.calling.asking import Choice, call_line, guesses, lines
from rlverify.calling.declaration import CallError, Declaration, Given
from rlverify.calling.description import Parameter, Signature
from rlverify.calling.expression import source, untold
from rlverify.contract import Argument

# names in the wild, lower case without leading or trailing underscores, by what they mean
SYNONYMS: dict[str, str] = {
    "rewards": "reward rew rews r rs r_t reward_t rewards_t reward_batch batch_rewards score "
    "scores",
    "values": "value val vals v vs value_t values_t v_tm1 vpred vpreds v_preds value_preds "
    "value_predictions state_value state_values baseline baselines critic_values old_values "
    "newvalue new_value new_values values_new vf_pred vf_preds vf_prediction y_pred",
    "-log_probs": "neglogp neglogpac neglogprob neg_logp neg_log_prob neg_log_probs nlp",
    "-old_log_probs": "old_neglogp old_neglogpac oldneglogpac old_neglogprob old_neg_logp "
    "old_neg_log_prob old_neg_log_probs neglogpac_old",
    "not_mask": "key_padding_mask is_padding is_pad pads",
    "clip_low": "cliprange_low clip_ratio_low clip_range_low clip_eps_low clip_epsilon_low "
    "eps_clip_low epsilon_low eps_low",
    "clip_high": "cliprange_high clip_ratio_high clip_range_high clip_eps_high clip_epsilon_high "
    "eps_clip_high epsilon_high eps_high",
    "old_values": "old_value old_vals values_old value_old v_old vs_old old_vpred old_v "
    "b_values rollout_values prev_values",
    "old_log_probs": "old_log_prob old_logp old_logprobs old_logprob logp_old logprobs_old "
    "log_probs_old log_prob_old b_logprobs behaviour_log_probs rollout_log_probs old_lp "
    "old_action_log_probs oldlogprob oldlogprobs oldlogp old_per_token_logps "
    "old_per_token_logprobs",
    "reference_log_probs": "ref_log_probs ref_log_prob ref_logprobs ref_logprob ref_logps ref_logp "
    "ref_per_token_logps ref_per_token_logprobs reference_log_prob reference_logprobs "
    "reference_logps reference_logp logp_ref log_probs_ref ref_lp",
    "group_ids": "group_id groups group index uid uids prompt_ids prompt_id prompt_index",
    "group_size": "num_generations num_samples_per_prompt n_samples_per_prompt rollout_n",
    "kl_estimator": "kl_type",
    "ratio": "importance_sampling_level",
    "clip_range": "clip clip_ratio clip_coef clip_eps clip_epsilon clip_param clip_range_vf "
    "cliprange cliprange_value epsilon eps eps_clip vf_clip_param value_clip",
    "kl": "kls kl_divergence kl_div approx_kl divergence d",
    "target": "target_kl kl_target d_targ desired_kl target_params target_param target_parameters "
    "theta_target target_weights target_network_params",
    "online": "params param parameters online_params online_param online_parameters source theta "
    "weights q_params q_network_params local_params model_params policy_params",
    "tau": "polyak_tau soft_tau",
    "q_taken": "q_values q_value current_q_values current_q q_pred q_preds q_sa q_a q_selected "
    "state_action_values old_val pred_q predicted_q chosen_q_values q_t q_tm1 q_qsa "
    "q_actions chosen_q action_values",
    "targets": "td_target td_targets target target_q_values target_q q_target q_targets y "
    "expected_state_action_values expected_q target_values",
    "huber": "huber_delta delta kappa",
    "next_q_values": "next_q q_next next_qs q_values_next next_q_value next_target_q_values "
    "target_next_q target_next_q_values q_next_target target_q_next next_action_values",
    "next_q_online": "q_next_online online_next_q next_online_q online_next_q_values "
    "next_q_values_online next_online_q_values q_next_eval q_eval_next next_q_local",
    "next_q_target": "q_next_target target_next_q next_target_q target_next_q_values "
    "next_q_values_target next_target_q_values q_targ_next target_q_next",
    "next_actions": "next_action next_acts a_next next_a a_prime",
    "next_probabilities": "next_probs next_pi pi_next next_policy next_action_probs probs_next",
    "states": "state s s_t obs observation observations",
    "next_states": "next_state s_next next_s s_tp1 s_prime s2 sp new_state next_obs "
    "next_observations",
    "step_size": "lr alpha learning_rate stepsize eta",
    "observations": "obs observation state states x",
    "edges": "bins bin_edges boundaries thresholds",
    "estimator": "kl_estimator kl_type",
    "next_values": "next_vals values_next v_next vs_next next_vs next_state_value "
    "next_state_values v_tp1 next_value_preds",
    "bootstrap": "last_value last_values last_val last_vals next_value next_val final_value "
    "bootstrap_value bootstrap_values value_last v_last last_v r_bootstrap",
    "values+bootstrap": "values_extended extended_values values_ext values_with_bootstrap "
    "values_and_bootstrap",
    "terminated": "terminateds terminations termination terminal terminals terms is_terminal",
    "truncated": "truncateds truncations truncation truncs trunc timeout timeouts time_limits "
    "time_outs",
    "done:after": "done dones d ds done_t dones_t done_flags is_done is_dones episode_ends ends "
    "done_mask dones_mask",
    "done:start": "episode_starts episode_start starts is_first is_start start_flags",
    "next_done": "next_dones last_done last_dones done_last next_terminal next_terminals",
    "not_done:after": "masks not_done not_dones nonterminal nonterminals non_terminal "
    "non_terminals not_done_mask undone undones continues conts continuations continue_flags",
    "not_terminated": "not_terminal not_terminals not_terminateds",
    "discounts": "discount_t discounts_t pcont pconts",
    "gamma": "discount_factor discount_rate discounting gam",
    "lam": "lambda lmbda lambd lbd lamb gae_lambda gae_lam lambda_gae lam_gae gae_lmbda "
    "td_lambda trace_decay gae_tau tau",
    "n": "n_steps nsteps n_step nstep multi_step",
    "mask": "loss_mask response_mask completion_mask action_mask attention_mask valid valid_mask",
    "ddof": "correction",
    "eps": "epsilon eps_root epsilon_root",
    "advantages": "advantage adv advs adv_t adv_targ atarg",
    "logits": "logit action_logits policy_logits pi_logits scores preferences",
    # old and new would not say which of the two the mean is taken under
    "logits_p": "p_logits logits1 logits_1 logits_a",
    "logits_q": "q_logits logits2 logits_2 logits_b",
    "actions": "action act acts a x sample samples labels label targets target ids action_ids "
    "tokens token_ids taken",
    "legal": "legal_mask legal_masks legal_actions legal_actions_mask legal_action_mask mask masks "
    "action_mask action_masks valid valid_mask valid_actions valid_action_mask avail avail_actions "
    "available_actions allowed allowed_actions next_legal next_action_mask next_legal_actions",
    "uniforms": "u us uniform uniform_samples random_numbers rand",
    "q_values": "q qs q_value qvals q_vals qvalue qvalues action_values values q_table qtable "
    "table",
    "epsilon": "eps exploration_rate",
    "temperature": "temp tau t",
    "scale": "scale_rewards",
    "std": "stds sigma sigmas scale stddev std_dev action_std",
    "mean": "means mu mus loc m action_mean mean_action running_mean mean_a a_mean",
    "log_std": "log_stds logstd logstds log_sigma log_scale action_logstd action_log_std",
    "log_var": "logvar log_vars logvars log_variance log_variances",
    "log_var_p": "logvar_p p_log_var",
    "log_var_q": "logvar_q q_log_var",
    "pre_tanh": "u x_t pretanh pre_tanh_action pre_action raw_action raw_actions gaussian_actions",
    "normals": "normal noise eps epsilon z xi",
    "mean_p": "mu_p loc_p",
    "mean_q": "mu_q loc_q",
    "log_std_p": "logstd_p log_sigma_p",
    "log_std_q": "logstd_q log_sigma_q",
    "alpha": "alphas a concentration1 concentration_1 con1",
    "beta": "betas b concentration0 concentration_0 con0 kl_coef kl_coeff kl_beta",
    "alpha_p": "a_p p_alpha",
    "beta_p": "b_p p_beta",
    "alpha_q": "a_q q_alpha",
    "beta_q": "b_q q_beta",
    "std_p": "sigma_p scale_p",
    "std_q": "sigma_q scale_q",
    "log_probs": "log_prob logp logps lp lps logprob logprobs log_pi log_pis logpi new_log_probs "
    "new_log_prob new_logp new_logprobs newlogprob logp_new action_log_probs log_prob_actions "
    "selected_log_probs logp_a per_token_logps per_token_logprobs",
    "behaviour_log_probs": "behavior_log_probs behaviour_log_prob behavior_log_prob behaviour_logp "
    "behaviour_action_log_probs behavior_action_log_probs "
    "behavior_logp old_log_probs old_log_prob old_logp old_logprobs old_logprob logp_old "
    "logprobs_old log_probs_old mu_log_probs log_mu sampling_log_probs rollout_log_probs",
    "weights": "weight w psi advantages advantage adv advs returns return ret rets rtgs rtg "
    "returns_to_go rewards_to_go discounted_returns",
    "entropies": "entropy ent ents",
    "returns": "return ret rets target_values value_target value_targets v_target vtarg y_true "
    "episode_returns total_rewards rewards reward rews r",
    "returns_to_go": "rtgs rtg rewards_to_go reward_to_go return_to_go returns",
    "fraction": "elite_fraction elite_frac frac rho elite_ratio top_fraction",
    "start_steps": "start_step first_steps step_offsets",
    "log_ratios": "log_rho log_rhos log_ratio log_is log_iw log_importance_weights log_weights "
    "log_importance_ratios",
    "ratios": "rho rhos rho_tm1 rho_t ratio importance_weights importance_ratio importance_ratios "
    "is_weights is_ratio is_ratios iw",
    "target_log_probs": "target_action_log_probs target_logp target_log_prob log_pi log_pis logpi "
    "log_probs log_prob logp logps curr_log_probs learner_log_probs new_log_probs",
    "rho_bar": "rho_clip clip_rho rho_thresh rho_threshold clip_rho_threshold rho_max max_rho "
    "rho_hat rho_clip_threshold vtrace_clip_rho_threshold",
    "c_bar": "c_clip clip_c c_thresh c_threshold clip_c_threshold c_max max_c c_clip_threshold",
    "rho_bar_advantage": "clip_pg_rho_threshold clip_pg_rho pg_rho_clip rho_bar_pg pg_rho_bar "
    "vtrace_clip_pg_rho_threshold",
    "next_state_values": "exp_q exp_q_t expected_q expected_q_t expected_next_q next_v v_next "
    "next_state_value next_values v_tp1",
    "coefficients": "coefficient c c_t cs coeffs traces trace_coefficients trace_weights",
    "target_probabilities": "pi pi_t pi_a target_probs target_prob pi_probs probs_target",
    "initial_values": "v values value_table initial_v v_init v0 table init_values",
    "traces": "trace trace_type trace_kind eligibility",
    "per_component": "componentwise per_parameter",
    "parameters": "params param p theta flat_params flat_parameters x x0 point",
    "inputs": "input x xs obs observation observations states features",
    "cotangents": "cotangent ct cts v vec grad_output grad_outputs grad_out upstream dy",
    "tangents": "tangent direction v vec vector",
    "sizes": "layer_sizes widths dims layer_dims",
    "activation": "act nonlinearity",
    "objective": "f fn fun func function loss loss_fn objective_fn objective_function",
    "count": "counts n n_samples num_samples running_count count_a a_count n_a t step iteration it "
    "timestep",
    "variance": "var vars variances m2 running_var running_variance var_a a_var variance_a",
    "other_count": "batch_count count_b b_count n_b count2",
    "other_mean": "batch_mean mean_b b_mean avg_b mean2",
    "other_variance": "batch_m2 batch_var batch_variance var_b b_var variance_b var2",
    "x": "batch arr array data samples obs observation observations xs",
    "clip": "clip_range clip_value clip_obs clip_reward clipping clip_observations",
    "step": "h eps epsilon delta step_size t iteration update full_step fullstep search_step",
    "steps": "total_steps total duration num_updates",
    "start": "start_e initial",
    "end": "end_e final",
    "gradients": "gradient grads grad g dw",
    "velocity": "v velocities momentum_buffer buf",
    "first": "m exp_avg mu first_moment m_t",
    "second": "v exp_avg_sq nu second_moment v_t",
    "squares": "s sq v nu square_avg mean_square ms cache",
    "learning_rate": "lr alpha step_size stepsize eta",
    "momentum": "mu beta",
    "beta1": "b1 beta_1",
    "beta2": "b2 beta_2",
    "decay": "alpha rho decay_rate smoothing",
    "max_norm": "max_grad_norm clip_norm maximum clip",
    "matvec": "a ax f_ax avp f_avp hvp hvp_fn fvp fvp_fn mvp f matmul matvec_fn operator "
    "linear_operator matrix_vector_product fisher_vector_product hessian_vector_product",
    "b": "rhs g grad gradient gradients v vec vector loss_grad policy_gradient right",
    "max_iterations": "nsteps n_steps num_steps cg_iters cg_iter cg_iterations cg_steps maxiter "
    "max_iter max_iters n_iters num_iters iters iterations n_iterations max_steps cg_max_steps",
    "tolerance": "residual_tol tol rtol cg_tol residual_tolerance residual_threshold threshold eps",
    "vector": "v p x vec direction tangent tangents",
    "gradient": "grad g gradients policy_gradient",
    "distribution": "dist dist_type policy policy_type action_distribution",
    "damping": "damp cg_damping damping_coef damping_coeff damping_factor reg_coeff hvp_reg_coeff",
    "delta": "max_kl kl_clip kl_max kl_bound trust_region radius",
    "reward_gradients": "reward_gradient reward_grads grad_rewards slopes",
    "cg_iterations": "cg_iters cg_steps cg_iter cg_max_steps max_cg_iter n_cg_steps",
    "cg_tolerance": "cg_tol cg_residual_tol residual_tol tol",
    "constraint": "kl kl_fn kl_func get_kl constraint_fn kl_constraint f_kl divergence",
    "backtrack": "backtrack_coeff backtrack_ratio backtracking_coeff shrink decay alpha",
    "max_backtracks": "backtrack_iters max_tries line_search_max_iter max_iter n_backtracks",
    "direction": "search_direction search_dir step_dir stepdir s x",
    "curvature_product": "hvp fvp product hessian_product hx fx ax fs hs avp",
}
# what a word may mean: `mask` is one thing beside token rewards and another beside logits
_MEANINGS: dict[str, list[str]] = {}
for _source, _words in SYNONYMS.items():
    for _synonym in (_source, *_words.split()):
        _MEANINGS.setdefault(_synonym, []).append(_source)
_NEXT = ("next_values", "bootstrap", "values+bootstrap")
_PLAIN = ("value", "values")
_PADDING = ("padding_mask", "pad_mask")
_UNCLEAR = ("mask", "discount", *_PADDING)
# settings that are no part of the mathematics, with the value every machine has
_SETTINGS = {"device": "cpu"}


def _word(name: str) -> str:
    return name.lower().strip("_")


def _choices(parameter: str, **readings: str) -> list[Choice]:
    return [Choice(Given(parameter, name), text) for name, text in readings.items()]


def _meanings(parameter: Parameter, arguments: tuple[str, ...]) -> list[str]:
    """Return the sources that a name may stand for."""
    if parameter.name in arguments:
        return [parameter.name]
    word = _word(parameter.name)
    # `mb_returns`, `returns_batch`: of a mini-batch
    bare = re.sub(r"^(b|mb|batch)_|_(b|t|batch)$", "", word)
    meanings = _MEANINGS.get(word) or _MEANINGS.get(bare, [])
    return [meaning for meaning in meanings if source(meaning, arguments)]


def _alone(meanings: list[str]) -> str:
    return meanings[0] if len(meanings) == 1 else ""


class _Company:
    """The names of one signature, each read in the company of the others."""

    def __init__(self, parameters: Sequence[Parameter], arguments: tuple[str, ...]) -> None:
        self.arguments = arguments
        self.words = {_word(item.name) for item in parameters}
        possible = {item.name: _meanings(item, arguments) for item in parameters}
        taken = {_alone(meanings) for meanings in possible.values()}
        # beside `params`, the `x` of a network can only be its inputs
        found = {
            name: _alone(meanings) or _alone([item for item in meanings if item not in taken])
            for name, meanings in possible.items()
        }
        fresh = [name for name, meaning in found.items() if meaning == "values"]
        if "old_values" in arguments and "old_values" not in taken and len(fresh) == 2:
            # beside `vpreds` or `new_values`, plain `values` were predicted at the rollout
            found |= dict.fromkeys((name for name in fresh if _word(name) in _PLAIN), "old_values")
        # a parameter that nothing is known about and that has a default is left alone
        self.meanings = {
            item.name: found[item.name]
            for item in parameters
            if found[item.name] or not item.optional or _word(item.name) in _UNCLEAR
        }
        self.told = set(self.meanings.values())

    def readings(self) -> dict[str, list[Choice]]:
        """Return every parameter's readings; none where its name says nothing."""
        return {
            name: self._dependent(name, meaning)
            or _choices(name, **({meaning: ""} if meaning else {}))
            for name, meaning in self.meanings.items()
        }

    def _dependent(self, name: str, meaning: str) -> list[Choice] | None:
        """Return the readings of a parameter whose meaning depends on the others."""
        if meaning == "done:after":
            return self._done(name)
        if meaning == "values":
            return self._values(name)
        if meaning == "discounts" and "gamma" in self.told:
            return _choices(
                name, discounts="gamma * (1 - terminated)", not_terminated="1 - terminated"
            )
        return None if meaning else self._nameless(name)

    def _done(self, name: str) -> list[Choice] | None:
        if "next_done" in self.told:  # the buffer of CleanRL and of baselines' ppo2
            return _choices(name, **{"done:start": "flags of the first step of an episode"})
        after = {"done:after": "flags of the last step of an episode, whatever ended it"}
        if "done:start" in self.told:
            return _choices(name, next_done="a flag a column: the last step ended", **after)
        if "truncated" in self.told and "terminated" not in self.told:
            return _choices(name, terminated="termination only", **after)
        return None

    def _values(self, name: str) -> list[Choice] | None:
        unknown = any(not meaning for meaning in self.meanings.values())
        if self.told & set(_NEXT) or unknown or "next_values" not in self.arguments:
            return None
        readings = {
            "values+bootstrap": "T+1 values, the last one following the last step",
            "values": "T values, and nothing follows the last step",
        }
        if "values" not in self.arguments:
            readings["next_values"] = "values of the states that steps lead to"
        return _choices(name, **readings)

    def _nameless(self, name: str) -> list[Choice] | None:
        word = _word(name)
        if word in _SETTINGS:
            return [Choice(Given(name, "", _SETTINGS[word]))]
        if word == "v_t" and "v_tm1" in self.words and "next_values" in self.arguments:
            return _choices(name, next_values="")
        if word in _PADDING and "mask" in self.arguments:
            return _choices(name, mask="True where real", not_mask="True where padded")
        if word == "mask" and "terminated" in self.arguments:
            return _choices(
                name,
                **{
                    "not_done:after": "0 on the last step of an episode",
                    "not_done:start": "0 on the first step of an episode",
                },
            )
        if word == "discount" and "gamma" in self.arguments:
            flags = any("done" in told or "terminated" in told for told in self.told)
            if flags or "terminated" not in self.arguments:
                return _choices(name, gamma="")
            return _choices(
                name, gamma="one number", discounts="gamma * (1 - terminated), one a step"
            )
        return None


def infer(
    signature: Signature, arguments: tuple[Argument, ...], open_: Collection[str] = ()
) -> Declaration:
    """Return the call that the names of a signature stand for.

    Args:
        signature: of the function.
        arguments: of the contract.
        open_: arguments whose value may be left open.

    Raises:
        CallError: a name is unknown or has several readings, or an argument has no parameter.
    """
    name, parameters = signature.name, signature.parameters
    names = tuple(item.name for item in arguments)
    if parameters is None:
        line = call_line(name, [Given("", item) for item in names], ())
        raise CallError(
            f"{name}: its signature cannot be read; declare the call, in a form such as\n  {line}"
        )
    readings = _Company(parameters, names).readings()
    _only_array(parameters, arguments, readings)
    told = [choice.given.source for several in readings.values() for choice in several]
    missing = [item for item in untold(told, arguments) if item.name not in open_]
    left = [item.name for item in missing]
    if not set(told) & set(_NEXT):
        left += [item for item in ("bootstrap", "next_values") if source(item, names)]
    unknown = [parameter for parameter, several in readings.items() if not several]
    several = [parameter for parameter, choices in readings.items() if len(choices) > 1]
    twice = [item for item in told if item and told.count(item) > 1]
    if unknown:
        problem = f"what its parameter {unknown[0]} means is not known"
    elif several:
        problem = f"its parameter {several[0]} has more than one reading"
    elif twice:
        problem = f"more than one of its parameters reads as {twice[0]}"
    elif missing:
        problem = f"no parameter takes {' and '.join(item.name for item in missing)}"
    else:
        return Declaration(name, tuple(choices[0].given for choices in readings.values()))
    for parameter, given in guesses(unknown, left).items():
        readings[parameter] = [Choice(item, item.source or "nothing") for item in given]
    proposed = lines(signature.name, parameters, arguments, readings, {*unknown, *several})
    raise CallError(
        f"{name}: {problem}. Declare the call that is meant, such as\n" + "\n".join(proposed)
    )


def _only_array(
    parameters: Sequence[Parameter],
    arguments: tuple[Argument, ...],
    readings: dict[str, list[Choice]],
) -> None:
    """Read the one parameter without a meaning as the one array that such a function takes."""
    arrays = [item.name for item in arguments if item.kind in ("float", "integer")]
    unknown = [item.name for item in parameters if readings.get(item.name) == []]
    told = {choice.given.source for several in readings.values() for choice in several}
    if len(arrays) == 1 and len(unknown) == 1 and arrays[0] not in told:
        readings[unknown[0]] = [Choice(Given(unknown[0], arrays[0]))]
