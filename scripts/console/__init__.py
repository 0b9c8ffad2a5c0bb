"""The terminal: progress on standard error; tables and the JSON document on standard output."""
