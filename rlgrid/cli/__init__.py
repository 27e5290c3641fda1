"""The command line, one group of commands a file.

Imports everything; nothing imports it.
"""
