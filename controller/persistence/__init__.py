"""What outlives the controller's process: the journal."""
