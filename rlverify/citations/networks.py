"""Reports on networks, pathwise gradients and finite differences: families N, P and FD."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "N1",
        "activation-on-the-output",
        "puts the activation on the last layer too: logits and values lose their sign or range",
        ("openai/baselines#331", "NVlabs/GA3C#17", "sfujim/BCQ#6"),
    ),
    Citation(
        "N2",
        "no-activation-between-layers",
        "leaves the activation between two layers out, which makes one layer of them",
        ("chainer/chainerrl#165", "bold-lab-ai/JaxMARL#126", "YujiaBao/ls#1"),
    ),
    Citation(
        "N3",
        "activation-ignored",
        "takes an activation as argument and always uses the hyperbolic tangent",
        ("SamuelGabriel/PFNs#5",),
    ),
    Citation(
        "N4",
        "reshape-instead-of-transpose",
        "reshapes a matrix where it should be transposed: the shape fits, the numbers do not",
        (
            "abdur75648/Deep-Learning-Specialization-Coursera#7",
            "TobiasLee/Chinese-Hip-pop-Generation#8",
        ),
    ),
    Citation(
        "N5",
        "another-order-in-the-vector",
        "reads or writes the flat vector bias first where it is flattened weight first",
        ("deeplearning4j/deeplearning4j#3035",),
    ),
    Citation(
        "N6",
        "bias-gradient-averaged",
        "averages the bias gradient over the batch while the weight gradient is summed",
        ("kvfrans/notes#5",),
    ),
    Citation(
        "N7",
        "bias-gradient-from-the-weights",
        "sums the weight gradient over the inputs and takes that for the bias gradient",
        ("rust0258/Deeplearning.ai-Natural-Language-Processing-Specialization#64",),
    ),
    Citation(
        "N8",
        "slope-of-the-activated-value",
        "evaluates the slope at the activated value, 1 − tanh(h)², instead of before: 1 − h²",
        ("davidrmiller/neural2d#40",),
    ),
    Citation(
        "N9",
        "slope-left-out",
        "passes the derivative of the activated value on as that of the value before",
        ("arthurdouillard/deepcourse#9",),
    ),
    Citation(
        "N10",
        "slope-of-the-derivative",
        "applies the activation, or its slope, to the derivative that passes instead of "
        "multiplying it by the slope",
        ("yizt/numpy_neural_network#6",),
    ),
    Citation(
        "N11",
        "slope-with-the-wrong-sign",
        "takes 1 + h² for the slope of the hyperbolic tangent, as if it were the tangent",
        ("gy910210/neural-network-from-scratch#2",),
    ),
    Citation(
        "N12",
        "product-rule-term-dropped",
        "drops a term of the product rule: one factor's tangent is ignored",
        ("ml-explore/mlx#3634", "raven-ml/raven#153"),
    ),
    Citation(
        "P1",
        "no-derivative-of-the-scale",
        "differentiates with respect to σ where the parameter is log σ: off by a factor of σ",
        ("google-deepmind/optax#1308",),
    ),
    Citation(
        "P2",
        "sample-without-path",
        "samples without a path for the gradient, so the scale receives none",
        ("jankrepl/deepdow#106",),
    ),
    Citation(
        "P3",
        "score-times-reward-gradient",
        "multiplies the score ε/σ by the reward's gradient: half of each estimator",
    ),
    Citation(
        "P4",
        "shared-scale-misaligned",
        "repeats a scale that samples or dimensions share along the wrong axis",
    ),
    Citation(
        "FD1",
        "forward-for-central",
        "computes a forward difference under the name of a central one",
        ("swiftcoder/isosurface#11", "apache/mxnet#3693"),
    ),
    Citation(
        "FD2",
        "moves-kept",
        "keeps the move of one parameter while it differentiates along the next",
        ("rohitg00/ai-engineering-from-scratch#56",),
    ),
    Citation(
        "FD3",
        "moves-lost",
        "moves a copy that the objective does not read: every difference is 0",
        ("jsboige/CoursIA#3326", "ooples/AiDotNet#393"),
    ),
    Citation(
        "FD4",
        "wrong-divisor",
        "divides by h where the two points lie 2h apart, or by 2h where they lie h apart",
    ),
    Citation(
        "FD5",
        "all-moved-at-once",
        "moves all parameters at once and takes the one difference for every element",
    ),
    Citation(
        "FD6",
        "moves-clipped",
        "clips the moved parameter to its range and divides by the full step",
        ("NanoComp/meep#2060", "NanoComp/meep#2073"),
    ),
)
