"""Rows of results, and the page that lays out what tasks hand it.

`rows` holds the row and its artefacts, `runs` groups rows, `workdirs` finds them. A task hands `page` a
`sections.TaskReport` with functions that write its sections; the page adds `summary` and `provenance`. Tasks build on
`results` and `comparable` (tables and charts of rows), `tables`, `pictures`, `text` and `unique_names`, and write by
`writer`. `published` holds the values that papers print. No module here imports a task.
"""
