"""What an extension of each kind must do, tried on it without a network."""
