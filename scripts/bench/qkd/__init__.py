"""The simulated quantum layer, with SeQUeNCe measured beside it."""
