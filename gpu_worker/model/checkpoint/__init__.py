"""A model's name becomes a checked file of weights."""
