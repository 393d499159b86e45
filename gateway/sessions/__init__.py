"""One session: its state, deadlines, audio and text, and what another worker needs to go on with it (cores)."""
