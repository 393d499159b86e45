"""The door to torch and whisper: a model's name becomes a checked file, and audio becomes words."""
