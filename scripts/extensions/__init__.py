"""Places for other people's code: protocols, frozen values, and a process of its own for whatever is plugged in."""
