"""MtSCCD_LUSC: land-use scene classification in five cities."""
