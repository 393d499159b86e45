"""The network on a CPU: one window after another."""
