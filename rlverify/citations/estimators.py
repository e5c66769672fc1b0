"""Reports on losses, baselines and elites: more of families E, K and L, and M (cross-entropy)."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "E15",
        "normalised-twice",
        "normalises advantages again that were normalised before, over another set",
        ("axon-rl/gem#113", "leggedrobotics/rsl_rl@1e61178"),
    ),
    Citation(
        "E43",
        "ratio-applied-twice",
        "lets the likelihood ratio multiply twice, in the weight and in the loss",
        ("PufferAI/PufferLib#306", "PufferAI/PufferLib#341"),
    ),
    Citation(
        "K15",
        "group-versus-batch",
        "takes the mean over the whole batch, or over neighbours in it, where a group is told by "
        "its number",
        ("inclusionAI/AReaL#354",),
    ),
    Citation(
        "K17",
        "mean-of-part-means",
        "averages the means of parts of a batch as if all parts were of one size",
        ("allenai/open-instruct#1161", "NovaSky-AI/SkyRL#925", "huggingface/trl#3021"),
    ),
    Citation(
        "K22",
        "wrong-tensor-as-mask",
        "takes another array for the mask, and whatever is not 0 in it for real",
        ("volcengine/verl#2506", "volcengine/verl#2513"),
    ),
    Citation(
        "K27",
        "shifted-by-one",
        "pairs each log-probability with the neighbour's numbers: one side is shifted by a step",
        ("PrimeIntellect-ai/prime-rl#1525", "CarperAI/trlx#509"),
    ),
    Citation(
        "K31",
        "placeholder-counted",
        "fills masked log-probabilities with a placeholder and counts it in the mean",
        ("huggingface/trl#2281",),
    ),
    Citation(
        "L9",
        "accumulated-not-divided",
        "returns the accumulated sum where it has to be divided by what was accumulated",
        ("leggedrobotics/rsl_rl@c70e4b5", "ikostrikov/pytorch-a2c-ppo-acktr-gail@8283305"),
    ),
    Citation(
        "L11",
        "score-not-squared",
        "weighs returns by the size of the score, where the variance asks for its square",
        (),
    ),
    Citation(
        "M1",
        "no-elite",
        "rounds the number of elites down: a small batch has none, and nothing is learnt",
        ("RobertTLange/evosax#29",),
    ),
    Citation(
        "M2",
        "threshold-left-out",
        "takes only what lies above the threshold, so whoever set it is not elite",
        ("yandexdataschool/Practical_RL#45",),
    ),
    Citation(
        "M3",
        "share-kept-for-share-dropped",
        "keeps the share of samples that was to be thrown out, or the reverse",
        ("yandexdataschool/Practical_RL#490",),
    ),
    Citation(
        "M4",
        "worst-for-best",
        "ranks in the wrong direction: the elite are the worst",
        (),
    ),
    Citation(
        "M5",
        "everybody-elite",
        "sorts without cutting off: everybody is elite",
        ("kzl/lifelong_rl#2",),
    ),
)
