"""Finds the bug in a reinforcement-learning estimator, and names it."""
