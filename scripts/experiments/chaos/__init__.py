"""Random faults under traffic, and an oracle that says what must hold."""
