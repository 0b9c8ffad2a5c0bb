"""What theory proves of decoy-state BB84, as formulas: key rates without limit of size and with finite keys."""
