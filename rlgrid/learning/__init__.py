"""Recipes, the learners that they make, and the agents around these.

Imports rules, kernels, environments and features; it does not know where experience comes from.
"""
