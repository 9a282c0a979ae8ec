"""Leaks: copies of images within and across splits and data sets, found by their content."""
