"""What is done to slices on request: made, changed, deleted, reserved, tried out."""
