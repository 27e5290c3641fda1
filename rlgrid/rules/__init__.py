"""The rules of acting and learning. Each choice is a small record with one plain function for each rule.

Recipes load every file here, and each file names its choices itself, so that a new one is entered in no list.

Imports models: what draws outcomes and starts, and the tolerance for ties.
"""
