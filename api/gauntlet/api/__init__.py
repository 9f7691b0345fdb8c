"""What every etcd speaks: messages, errors, the wire."""
