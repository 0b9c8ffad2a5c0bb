"""Where traffic is sealed, compared: keys that it takes, round trips, what an eavesdropper on the line sees."""
