"""The loops that Numba compiles: acting and learning interleaved, many environments at once, sweeps of planning.

Private: the rest of rlgrid calls them, users do not. Imports rules and the arrays of models.
"""
