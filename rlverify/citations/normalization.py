"""Reports on running statistics: family J of the corpus, but J5, which losses have too."""

from rlverify.citations.record import Citation

ENTRIES = (
    Citation(
        "J1",
        "batch-counted-once",
        "counts a batch of N samples as one, so the first ones weigh too much for ever",
        ("vwxyzjn/cleanrl#18",),
    ),
    Citation(
        "J2",
        "squares-overwritten",
        "replaces the sum of squares by that of the last batch where it has to add",
        ("akanazawa/fpo#13",),
    ),
    Citation(
        "J6",
        "mean-saved-as-variance",
        "stores the mean where the variance belongs",
        ("ugr-sail/sinergym#422",),
    ),
    Citation(
        "J7",
        "return-not-reset-at-the-end",
        "lets the discounted return run on into the next episode, or sets it to 0 before it has "
        "been counted",
        ("openai/baselines#556", "openai/baselines#538", "Farama-Foundation/Gymnasium#760"),
    ),
    Citation(
        "J8",
        "reset-counted-as-return",
        "counts a return of 0 for every reset: no reward was earned there",
        ("DLR-RM/stable-baselines3#558", "Farama-Foundation/Gymnasium#1451"),
    ),
    Citation(
        "J10",
        "fresh-statistics-in-evaluation",
        "normalises by what it sees in evaluation, not by what was learnt in training",
        ("vwxyzjn/cleanrl#556", "vwxyzjn/cleanrl#532", "DLR-RM/rl-baselines3-zoo#276"),
    ),
    Citation(
        "J13",
        "mean-taken-off-rewards",
        "takes the mean off rewards, which changes what is optimal where episodes end",
        ("DLR-RM/stable-baselines3#2206", "DLR-RM/stable-baselines3#2279"),
    ),
    Citation(
        "J15",
        "distance-of-the-means-forgotten",
        "adds the variances of two parts and forgets how far apart their means lie",
        (),
    ),
    Citation(
        "J16",
        "divided-by-the-variance",
        "divides by the variance where the deviation is meant",
        (),
    ),
    Citation(
        "J17",
        "clipped-on-one-side",
        "clips from above only, or clips before it scales",
        (),
    ),
)
