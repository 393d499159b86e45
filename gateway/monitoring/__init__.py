"""Endpoints, metrics, logs and the monitor page. Nothing in here changes a session or a worker."""
