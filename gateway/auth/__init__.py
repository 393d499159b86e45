"""Who may open a session, and who may see the monitoring."""
