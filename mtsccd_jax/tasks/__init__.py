"""What can be learned and judged: one folder a task, one line a task in `table.py`."""
