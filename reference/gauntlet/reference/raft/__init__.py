"""The consensus core: a state machine without clock, socket, disk or thread. Start at `rawnode`."""
