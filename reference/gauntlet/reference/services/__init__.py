"""What each RPC means: checks, the proposal or the read, the answer. No gRPC types, no sockets."""
