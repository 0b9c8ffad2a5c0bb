"""The life cycle of slices carried out: decisions pushed to switches, tunnels, the KMS and the journal."""
