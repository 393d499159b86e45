"""Keep a session going when its connection breaks: another one, and the audio that has to be sent again."""
