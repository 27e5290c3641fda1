"""The same update without a world: means, roots and minima by stochastic approximation.

Imports step sizes from rules.
"""
