"""What clients do to a cluster, and which checker judges it."""
