"""Planning on a known model: methods, proven bounds, and plans.

Imports models and kernels, and no rule of learning.
"""
