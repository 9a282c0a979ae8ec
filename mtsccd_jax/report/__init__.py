"""Rows of results, what the papers published, and the page that shows one beside the other.

`rows` holds the row and its artefacts, `verify` recomputes it. `published` and `binary_tables` are the papers' tables
and what any (overall accuracy, kappa) can be; `audit` says so of a file. `page` is the report, drawn from rows and
artefacts alone: `sections`, `transitions`, `examples` and `comparisons` are its parts, `figures` their charts,
`row_tables` and `paper_tables` their tables.
"""
