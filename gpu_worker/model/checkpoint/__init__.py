"""Turn a model's name into a checked file of weights."""
