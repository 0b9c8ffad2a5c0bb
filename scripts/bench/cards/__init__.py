"""What three wavelengths in a row carry whose cards seal, beside three whose do not."""
