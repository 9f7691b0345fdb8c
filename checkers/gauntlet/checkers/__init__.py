"""What etcd promises, and whether a history kept to it."""
