"""Reports on distributions and policy gradients: families D and L, and A20."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "A20",
        "outer-broadcast",
        "multiplies an array (B,) by one (B, 1): every element meets every other, and the "
        "mean of the products becomes a product of means",
        ("automl/Mighty#126", "RITCHIEHuang/DeepRL_Algorithms#13", "thu-ml/tianshou#40"),
    ),
    Citation(
        "D1",
        "log-prob-not-summed-over-dimensions",
        "does not sum the log-probability over the dimensions of an action: takes the mean, "
        "or sums over the batch too",
        ("thu-ml/tianshou#40", "PacktPublishing/TensorFlow-2-Reinforcement-Learning-Cookbook#46"),
    ),
    Citation(
        "D2",
        "deviation-variance-confusion",
        "takes the deviation for the variance, or the reverse",
        ("hill-a/stable-baselines#1060", "hill-a/stable-baselines#1058"),
    ),
    Citation(
        "D3",
        "clipped-action-scored",
        "scores the clipped action although the raw one was sampled",
        ("ray-project/ray#8889", "thu-ml/tianshou#312"),
    ),
    Citation(
        "D4",
        "tanh-correction-missing",
        "leaves out the correction log(1 − tanh²) of the squashed density, or applies it on "
        "one side only",
        ("automl/Mighty#117", "Kaixhin/spinning-up-basic#2"),
    ),
    Citation(
        "D5",
        "tanh-correction-double-tanh",
        "applies tanh twice in the correction: log(1 − tanh(tanh u)²)",
        ("boyu-ai/Hands-on-RL#44",),
    ),
    Citation(
        "D6",
        "tanh-correction-naive",
        "computes log(1 − tanh²) as it is written: 0 under the logarithm for large u, or "
        "hidden by an added constant",
        (),
    ),
    Citation(
        "D7",
        "action-scale-jacobian",
        "leaves the scale of the action space out of the density, or puts it in the wrong place",
        ("openai/spinningup#314", "cpnota/autonomous-learning-library#139"),
    ),
    Citation(
        "D8",
        "atanh-of-clamped-action",
        "recovers the unsquashed action from the clamped one instead of keeping what was sampled",
        ("ray-project/ray#65036", "pytorch/rl#4080"),
    ),
    Citation(
        "D9",
        "entropy-sign",
        "adds the entropy to a loss that is minimised, or returns its negative",
        ("google-deepmind/open_spiel#962", "vwxyzjn/cleanrl@47b920a3"),
    ),
    Citation(
        "D10",
        "entropy-mean-over-dimensions",
        "averages the entropy over the dimensions of an action instead of summing",
        (
            "DLR-RM/stable-baselines3@fd9e73cf",
            "Unity-Technologies/ml-agents#4538",
            "tensorforce/tensorforce#177",
        ),
    ),
    Citation(
        "D11",
        "entropy-of-chosen-action",
        "takes −p log p of one action only instead of the sum over all",
        ("noahfarr/rlx#3", "werner-duvaud/muzero-general#175"),
    ),
    Citation(
        "D13",
        "entropy-of-another-distribution",
        "uses the entropy of another distribution, by a name that was shadowed",
        ("ikostrikov/pytorch-a2c-ppo-acktr-gail@05a8852",),
    ),
    Citation(
        "D16",
        "masked-logits-nan",
        "multiplies a probability 0 by a log-probability −∞: NaN wherever an action is illegal",
        (
            "JuliaReinforcementLearning/ReinforcementLearning.jl#917",
            "tensorforce/tensorforce#586",
            "Stable-Baselines-Team/stable-baselines3-contrib#302",
        ),
    ),
    Citation(
        "D17",
        "mask-not-applied-in-update",
        "applies the mask of legal actions when sampling but not when scoring",
        ("hill-a/stable-baselines#453",),
    ),
    Citation(
        "D18",
        "stale-probabilities-after-mask",
        "masks the logits but goes on with probabilities computed before",
        ("Stable-Baselines-Team/stable-baselines3-contrib@300a5ed",),
    ),
    Citation(
        "D20",
        "transposed-batch-axes",
        "transposes the action axis to the front instead of moving it: batch axes are mixed",
        ("pytorch/rl#3080",),
    ),
    Citation(
        "D21",
        "beta-bounds",
        "leaves the scale of the support out of a Beta density, or lets parameters and "
        "actions reach the bounds",
        ("tensorforce/tensorforce#94", "openai/baselines#121"),
    ),
    Citation(
        "D22",
        "epsilon-inverted",
        "explores with probability 1 − ε and is greedy with probability ε",
        ("MorvanZhou/Reinforcement-learning-with-tensorflow#151",),
    ),
    Citation(
        "D23",
        "epsilon-mass-lost",
        "gives the greedy action 1 − ε and the others ε/A each, where either 1 − ε + ε/A or "
        "ε/(A − 1) is meant: the probabilities do not sum to 1",
        ("NeuromatchAcademy/course-content#446",),
    ),
    Citation(
        "D24",
        "reduced-over-the-batch",
        "takes a maximum or a sum over the whole batch instead of over the actions of one state",
        (
            "p-christ/Deep-Reinforcement-Learning-Algorithms-with-PyTorch#55",
            "facebookresearch/Pearl#133",
        ),
    ),
    Citation(
        "D25",
        "exponential-overflow",
        "exponentiates logits as they are: infinity over infinity where one is large, and 0 over "
        "0 where all are small",
        ("keras-rl/keras-rl#25",),
    ),
    Citation(
        "D26",
        "logarithm-of-underflow",
        "takes the logarithm of a probability that has underflowed: −∞, or a floor under it, "
        "where the logit is far below the greatest",
        ("quantumiracle/MARS#1", "awjuliani/DeepRL-Agents#34"),
    ),
    Citation(
        "G18",
        "near-ties-taken-for-ties",
        "shares the greedy mass among values that are only nearly the greatest, although the "
        "policy that acts tells them apart",
        ("SlopDotCash/asi#2139",),
    ),
    Citation(
        "I3",
        "prefix-sum-off-by-one",
        "leaves the last element out of the total that a uniform number is scaled by, or finds "
        "an element of probability 0 where the number meets a partial sum",
        (
            "hill-a/stable-baselines#941",
            "JuliaReinforcementLearning/ReinforcementLearningCore.jl#83",
        ),
    ),
    Citation(
        "L2",
        "action-dependent-baseline",
        "subtracts a baseline that depends on the action it judges, its own return included",
        (),
    ),
    Citation(
        "L8",
        "sum-versus-mean",
        "sums where the mean is meant, or the reverse: the step length changes with the batch",
        ("ray-project/ray#2504", "ray-project/ray#32713"),
    ),
)
