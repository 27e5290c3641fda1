"""The Gymnasium environments, one world at a time or thousands, and how states of any environment are numbered.

Imports models and kernels, and no learner.
"""
