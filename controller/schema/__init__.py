"""What comes in from outside, parsed once: the slice request and the configuration file."""
