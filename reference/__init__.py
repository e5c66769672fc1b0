"""Slow, readable NumPy references: one line of code per line of the paper."""
