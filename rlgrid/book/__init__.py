"""Figures of books computed anew and held against what is printed.

Imports planning and analysis.
"""
