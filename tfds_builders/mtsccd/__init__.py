"""The common part of both MtSCCD data sets: names, published tables, archive, splits and builder."""
