"""The rules of acting and learning, each choice a small record with one plain function.

Imports models, and of these only what draws outcomes and starts.
"""
