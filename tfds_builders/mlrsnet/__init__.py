"""MLRSNet: multi-label aerial and satellite scenes in 46 categories with 60 labels."""
