"""How commands read and write files that are not theirs alone: marked folders, ownership under sudo, logs."""
