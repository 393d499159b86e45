"""The worker process: its loop, slots, heartbeats, and the socket to the gateways."""
