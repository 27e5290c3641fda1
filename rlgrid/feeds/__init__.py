"""Feeds: where the experience of an agent comes from.

Imports learning, environments and planning.
"""
