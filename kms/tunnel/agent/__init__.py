"""The agent of one host: its connections on the event loop, its control socket, its metrics."""
