"""One conversation: its states, deadlines, audio and text, and what a worker needs to go on with it (cores)."""
