"""Probes from inside the hosts: echo requests, numbered datagrams, outages, isolation."""
