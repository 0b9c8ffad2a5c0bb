"""Whether packets get through: the check itself, and the messages by which it asks."""
