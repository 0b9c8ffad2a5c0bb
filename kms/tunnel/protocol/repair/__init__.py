"""Repair of short outages: what was sent is kept for a while, what is missing is asked for."""
