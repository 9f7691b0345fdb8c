"""Finds or builds the programs a run needs: etcd of some version, toxiproxy-server, h2spec."""
