"""How a stream of audio becomes committed words: windows, agreement, endpoints; no torch (cores)."""
