"""The tasks of the benchmark: each has a folder, and an entry in `table.py`."""
