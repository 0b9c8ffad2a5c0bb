"""What ``qslice demo`` measures on a running system, and the report it writes."""
