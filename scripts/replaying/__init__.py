"""Recordings through policy and model without a server: words, latencies in audio time, compute."""
