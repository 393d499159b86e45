"""The gateway: terminates clients, places sessions, keeps journals; never loads a model."""
