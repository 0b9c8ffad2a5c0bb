"""The documents: links, commands, files and words."""
