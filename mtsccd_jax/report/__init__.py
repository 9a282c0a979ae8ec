"""Rows of results, what the papers published, and the page that shows one beside the other.

`rows` holds the row and its artefacts, `verify` recomputes it (`row_check` for all protocols, `verify_labels` and
`verify_retrieval` for theirs; the other way to every figure is in `recompute`, `recompute_labels` and
`recompute_ranking`). `published`, `label_results` and `binary_tables` are the papers' tables and what any (overall
accuracy, kappa) can be; `audit` says so of a file. `page` is the report, drawn from rows and artefacts alone:
`sections`, `transitions`, `examples`, `comparisons`, and of several labels an image and searches `label_sections` and
`label_comparisons`, are its parts, `sentences` its words, `figures` its charts, `row_tables`, `paper_tables` and
`label_tables` its tables, `sheets` and `label_sheets` its photographs.
"""
