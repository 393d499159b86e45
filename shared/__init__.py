"""What the gateway and the workers share: messages, wire format, errors, settings, logs."""
