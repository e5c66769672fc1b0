"""Reports on normalisation, losses and updates: families E, F, J, K."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "E10",
        "normalisation-without-eps",
        "divides by the deviation alone: constant advantages become NaN",
        ("hill-a/stable-baselines#723",),
    ),
    Citation(
        "E11",
        "normalisation-over-one-axis",
        "normalises along the first axis only instead of over the whole batch",
        ("tensorflow/agents#651",),
    ),
    Citation(
        "E12",
        "normalisation-includes-padding",
        "lets padded elements into the mean and the deviation",
        ("Stable-Baselines-Team/stable-baselines3-contrib#78",),
    ),
    Citation(
        "E13",
        "masked-mean-divides-by-all",
        "divides a masked sum by the number of all elements, padding included",
        ("Stable-Baselines-Team/stable-baselines3-contrib#78",),
    ),
    Citation(
        "J5",
        "naive-variance-cancellation",
        "computes the variance as E[x²] − E[x]², which cancels when the mean is large",
        ("openai/baselines#392", "ray-project/ray#53484"),
    ),
    Citation(
        "K6",
        "mask-by-multiplication",
        "masks by arithmetic (multiplies with 0, adds −∞), or selects only afterwards, so NaN or "
        "inf under the mask survives, in the value or in the gradient",
        ("OpenRLHF/OpenRLHF#1314", "volcengine/verl#2377"),
    ),
    Citation(
        "K23",
        "padding-leaks",
        "runs the recursion over padded tokens, whose values and rewards leak into real ones",
        ("volcengine/verl#50", "volcengine/verl#1440", "alibaba/ROLL#447"),
    ),
    Citation(
        "E5",
        "ratio-identically-one",
        "divides the probability by its own, detached copy: the ratio is 1 whatever the old policy "
        "was, so nothing is corrected",
        ("meta-pytorch/torchforge#571",),
    ),
    Citation(
        "E6",
        "ratio-inverted",
        "takes the ratio the wrong way round, old policy over new",
        (),
    ),
    Citation(
        "F4",
        "gaussian-kl-parenthesis",
        "divides only the squared distance of the means by 2σ², not the variance beside it",
        (),
    ),
    Citation(
        "K12",
        "advantages-not-unsqueezed",
        "lets one number a sequence broadcast along the wrong axis; silent where both are as long",
        ("huggingface/trl@4db63af98",),
    ),
    Citation(
        "K28",
        "temperature-mismatch",
        "divides log-probabilities by the temperature instead of logits, or forgets it on one side",
        ("huggingface/trl#3029", "huggingface/trl#4159", "PrimeIntellect-ai/prime-rl#697"),
    ),
    # of gradients: no edit of a reference shows these two, the checks of the gradient find them
    Citation(
        "K5",
        "nan-gradient-behind-a-selection",
        "the selection comes after an operation whose derivative is infinite or NaN there, and the "
        "backward pass multiplies that by 0; select before the operation",
        ("OpenRLHF/OpenRLHF#1335",),
    ),
    Citation(
        "L3",
        "constant-not-detached",
        "lets the gradient flow into what should be a constant, such as the advantage",
        (),
    ),
)
