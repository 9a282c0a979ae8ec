"""The common part of BigEarthNet v1 and v2: patch names, classes, bands, train lists, builder."""
