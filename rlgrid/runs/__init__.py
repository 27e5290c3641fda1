"""Training runs: the loop, who watches it, what is written down, and how good a policy is.

Imports feeds and everything that they import; of these nothing imports runs.
"""
