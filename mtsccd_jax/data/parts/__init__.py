"""Sources that are parts of others: rows that are kept, and splits by city; places."""
