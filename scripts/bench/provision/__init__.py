"""Set-up and tear-down times of slices, one by one and until nothing more fits."""
