"""Looking at a run: commands in hosts."""
