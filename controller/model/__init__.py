"""The controller's values: requests, routes, connections, slices, and the tables of their states."""
