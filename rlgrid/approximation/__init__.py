"""Linear function approximation: features of cells, least squares, and where TD comes to rest.

Imports models, planning and environments.
"""
