"""What keeps connections at work: reroutes, dark channels, keys stretched, states true to what probes say."""
