"""Published weights: their files and their names."""
