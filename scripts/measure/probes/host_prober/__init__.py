"""The probe program: runs inside one host's namespace, sends and receives on command, reports exactly.

It is a program of its own (standard library only; started by this folder's path, ``python -I -S host_prober``), so
that one process per host does everything that must be fast or exact: echo requests at 1 kHz, sequence-numbered
datagrams, counting what arrives. Commands are JSON lines on standard input, answers JSON lines on standard output
with the same ``id``. It ends when its standard input does, so that it cannot outlive who started it. Times are
CLOCK_MONOTONIC seconds, which all processes of one machine share.
"""
