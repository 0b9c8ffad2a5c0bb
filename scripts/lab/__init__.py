"""The course of ``qslice lab``: five exercises on a running network, each with a check that looks at that network."""
