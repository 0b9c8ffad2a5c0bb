"""The commands themselves, one section of the help each."""
