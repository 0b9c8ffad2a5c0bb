"""Scripted failure experiments: a scenario in, faults on a running network, figures and pictures out."""
