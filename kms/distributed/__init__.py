"""The distributed form: one process per site, and KMEs that talk to each other over mutual TLS."""
