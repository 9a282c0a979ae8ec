"""Rows of results, what the papers published, and the page that shows one beside the other.

`rows` holds the row and its artefacts, `measured` its numbers before they are a row, and `verify` checks it with the
check of its task. `published`, `label_results` and `binary_tables` are the papers' tables and what any (overall
accuracy, kappa) can be; `audit` says so of a file. `page` is the report, drawn from rows and artefacts alone:
`sections`, `transitions`, `examples`, `comparisons`, and of several labels an image and searches `label_sections` and
`label_comparisons`, are its parts, `sentences` its words, `figures` its charts, `row_tables`, `paper_tables` and
`label_tables` its tables, `sheets` and `label_sheets` its photographs.
"""
