"""A run of the whole system on one machine: its processes, its record, its faults, its clean-up."""
