"""Rows of results, what the papers published, and the page that shows one beside the other.

`rows` holds the row and its artefacts, `published` the papers' tables and the audit of any (overall accuracy,
kappa), `page` the report that is drawn from rows and artefacts alone.
"""
