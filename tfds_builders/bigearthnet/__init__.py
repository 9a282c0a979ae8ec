"""What both versions of BigEarthNet share: patch names, classes, bands."""
