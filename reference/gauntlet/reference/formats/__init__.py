"""Bytes only: what etcd writes to disk and sends to its peers, encoded and decoded without any I/O."""
