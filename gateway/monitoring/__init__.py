"""What others may know: endpoints, metrics, logs and the monitor; it only looks on."""
