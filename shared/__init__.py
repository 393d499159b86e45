"""What gateway and workers agree on: messages, wire format, errors, settings, logs."""
