"""What the member counts, and how Prometheus reads it. The names are etcd's; docs/metrics.md lists them."""
