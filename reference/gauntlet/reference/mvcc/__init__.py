"""The key-value store with all its revisions: index, transactions, compaction, hashes, watches."""
