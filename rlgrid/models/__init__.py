"""Models: a world, an environment or experience as sparse rows of outcomes.

Imports worlds.
"""
