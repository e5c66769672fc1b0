"""Contracts of the topic `natural_gradient`: curvature of policies, and solving with it."""

from rlverify.contracts._conjugate_gradient import CONTRACT as SOLVER_CONTRACT

CONTRACTS = (SOLVER_CONTRACT,)
