"""What becomes of a stream's audio: how it is counted, what of it is unclear, whether there is a voice in it."""
