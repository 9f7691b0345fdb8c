"""An etcd-compatible member in Python."""
