"""The KMS' interfaces: ETSI GS QKD 014, 004 and 015, Cisco's SKIP, and the operator's socket."""
