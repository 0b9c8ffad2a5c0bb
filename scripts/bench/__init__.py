"""What ``qslice bench`` measures, with the oracles and peers that it compares with."""
