"""Reports on GRPO and on language models: clipping, groups, aggregation."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "E9",
        "deviation-of-one",
        "divides by the sample deviation of one element, which is NaN",
        ("DLR-RM/stable-baselines3#265", "DLR-RM/stable-baselines3#1028"),
    ),
    Citation(
        "K10",
        "nan-reward-becomes-zero",
        "adds rewards up past NaN, so an answer nobody could judge counts as one of reward 0",
        ("huggingface/trl#5775",),
    ),
    Citation(
        "K11",
        "scale-branches-swapped",
        "divides by the deviation of the batch where that of the group is asked for, or divides "
        "where nothing is to be divided",
        ("huggingface/trl#3992", "huggingface/trl@35702ce37"),
    ),
    Citation(
        "K16",
        "aggregation-exchanged",
        "averages over tokens where sequences are to be averaged, or the reverse",
        ("huggingface/trl#3138", "huggingface/trl#3256", "sail-sg/understand-r1-zero#10"),
    ),
    Citation(
        "K18",
        "masked-tokens-counted",
        "divides by tokens that are masked out of the sum",
        ("huggingface/trl#6439", "huggingface/trl@7c1fa85ad"),
    ),
    Citation(
        "K20",
        "sequence-ratio-summed",
        "adds log-ratios up over a sequence instead of averaging them: the ratio's spread grows "
        "with the length",
        ("huggingface/trl#5814", "huggingface/trl#5815"),
    ),
    Citation(
        "K21",
        "sequence-ratio-with-token-loss",
        "uses the ratio of each token where that of the sequence is asked for",
        ("OpenRLHF/OpenRLHF@1b23ecf0",),
    ),
    Citation(
        "K26",
        "kl-of-padding",
        "leaves the KL penalty at padded tokens, from where it leaks into returns",
        ("natolambert/rlhf-book#216",),
    ),
)
