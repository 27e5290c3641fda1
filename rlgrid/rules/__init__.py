"""The rules of acting and learning, each choice a small record with one plain function for each rule.

Every file here is loaded with the recipes and names its choices itself, so that a new one needs no list.

Imports models, and of these only what draws outcomes and starts.
"""
