"""Change detection: did the land use of a scene change between two dates."""
