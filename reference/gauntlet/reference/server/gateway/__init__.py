"""The JSON gateway: etcd's RPCs as HTTP requests with JSON bodies, answered by the same handlers."""
