"""Worlds: maps and rules as text files, generated worlds, and what each move can lead to.

Imports nothing of rlgrid but single files.
"""
