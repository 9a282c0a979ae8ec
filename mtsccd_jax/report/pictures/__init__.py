"""Charts and contact sheets, and their style."""
