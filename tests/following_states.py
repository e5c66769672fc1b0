"""What can follow in a finite process; shared by tests of the environments."""

import numpy as np


def outcomes(mdp, state, action):
    """What can follow: {next state: (probability, reward, end)}."""
    return {
        int(after): tuple(
            table[state, action, after].item()
            for table in (mdp.transition, mdp.reward, mdp.terminal)
        )
        for after in np.flatnonzero(mdp.transition[state, action])
    }
