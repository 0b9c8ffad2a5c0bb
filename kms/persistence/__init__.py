"""What outlives the KMS' process: the store of delivered keys, SAEs' homes and the ledger."""
