"""Who may open a session, and who may see how the gateway does."""
