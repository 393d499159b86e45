"""Sockets: one to all workers, one to each client; back-pressure both ways."""
