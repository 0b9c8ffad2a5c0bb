"""What the KMS does unasked: sections make key, pools are filled, links are watched."""
