"""The names that functions in the wild give to what the contracts name."""

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
    "next_observations": "next_obs new_obs obs_next obs2 next_state next_states s2 s_next",
    "picks": "indices idx idxs inds index indexes batch_inds batch_idx sample_indices",
    "rows": "capacity buffer_size max_size maxlen size",
    "transition": "p transitions transition_matrix transition_probs transition_probabilities probs "
    "p_sas t_matrix kernel",
    "reward": "r rewards reward_matrix reward_table r_sas",
    "terminal": "terminals dones done is_terminal terminated terminations ends",
    "policy": "pi policies new_policy pi_new",
    "old_policy": "pi_old old_pi policy_old",
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
    "gamma": "discount_factor discount_rate discounting gam gammas cumulative_gamma "
    "cumulative_gammas",
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
    "start": "start_e initial rho0 mu0 d0 initial_distribution start_distribution "
    "initial_state_distribution",
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
    "tolerance": "residual_tol tol rtol cg_tol residual_tolerance residual_threshold threshold eps "
    "theta",
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
