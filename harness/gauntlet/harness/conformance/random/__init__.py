"""Random sequences of requests, sent to two targets whose answers must agree."""
