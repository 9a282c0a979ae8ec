"""Draw MtSCCD: scenes of ten land-use classes at two dates."""
