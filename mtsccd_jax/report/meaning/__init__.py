"""What the numbers of a row mean: averages, denominators, and how peers' definitions read on the same predictions.

Every task declares the definitions of its metrics and those of its peers in a literal table (`tasks/*/definitions.py`).
`explain` puts a row and its table together, for the command and for the page; `averages` has what peers compute from
counts.
"""
