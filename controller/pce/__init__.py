"""Path computation (RFC 4655): constrained routes, disjoint pairs, placement, and why a request does not fit."""
