"""Makes clusters, breaks them, and records what they said."""
