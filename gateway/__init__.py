"""The gateway: serves the clients, keeps their sessions, and places them on GPU workers."""
