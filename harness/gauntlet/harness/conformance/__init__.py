"""What every etcd promises to its clients, as named cases that run against any target."""
