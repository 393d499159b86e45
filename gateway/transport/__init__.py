"""The sockets: one to all workers, one to each client; bounded queues and back-pressure both ways."""
