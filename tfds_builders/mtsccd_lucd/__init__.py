"""MtSCCD_LUCD: land-use change detection between two dates in five cities."""
