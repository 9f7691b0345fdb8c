"""The shell around the node: listeners, peers, the real disk and clock, configuration, the command."""
