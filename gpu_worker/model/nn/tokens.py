"""Whisper's tokens: the start of a transcript, the tokens that are never chosen, and the words that tokens spell."""

import codecs
import string
from collections.abc import Sequence
from functools import cached_property, lru_cache

from whisper.tokenizer import LANGUAGES, Tokenizer, get_tokenizer

_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages written without spaces: there a word is a character, or the few tokens that spell one."""


class Tokens:
    def __init__(self, n_vocab: int) -> None:
        self.multilingual = n_vocab >= 51865
        self._count = n_vocab - 51765 - int(self.multilingual)
        self._base: Tokenizer = get_tokenizer(self.multilingual, num_languages=self._count)
        self.eot: int = self._base.eot
        self.sot: int = self._base.sot
        self.no_speech: int = self._base.no_speech
        self._bytes = lru_cache(maxsize=8192)(self._base.encoding.decode_single_token_bytes)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """The codes that the model takes, in the order of their tokens."""
        return tuple(LANGUAGES)[: self._count] if self.multilingual else ("en",)

    @cached_property
    def suppressed(self) -> tuple[int, ...]:
        """Text tokens that are never chosen: symbols and the marks of noises."""
        return tuple(t for t in self._base.non_speech_tokens if t < self.eot)

    @cached_property
    def not_first(self) -> tuple[int, ...]:
        """Tokens that cannot begin a transcript: a blank, and its end."""
        return (*self._base.encode(" "), self.eot)

    def start(self, language: str, task: str, prompt: Sequence[int]) -> tuple[list[int], int]:
        """Return the tokens before the text, and where the start of transcript is among them.

        Raises:
            ValueError: the model does not have the language, or cannot do the task.
        """
        if language not in self.languages:
            raise ValueError(f"the model has no language {language!r}")
        if task not in {"transcribe", "translate"} or (task == "translate" and not self.multilingual):
            raise ValueError(f"the model has no task {task!r}")
        tokens = [self._base.sot_prev, *prompt] if prompt else []
        at = len(tokens)
        tokens.append(self.sot)
        if self.multilingual:
            tokens.append(self.language_token(language))
            tokens.append(self._base.transcribe if task == "transcribe" else self._base.translate)
        tokens.append(self._base.no_timestamps)
        return tokens, at

    def language_token(self, language: str) -> int:
        return self.sot + 1 + self.languages.index(language)

    def text(self, tokens: Sequence[int]) -> str:
        """Return what text tokens spell; bytes that are no character yet become U+FFFD."""
        return b"".join(self._bytes(t) for t in tokens if t < self.eot).decode("utf-8", "replace")

    def words(self, tokens: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Split text tokens into words: the text of each, and how many tokens spell it.

        As whisper's own splitter, but it walks bytes, so that a character cut at the end is no error: the last word
        then ends in U+FFFD.
        """
        pieces = self._characters(tokens)
        if language in _UNSPACED:
            return pieces
        words: list[tuple[str, int]] = []
        for text, count in pieces:
            alone = text.startswith(" ") or text.strip() in string.punctuation
            if alone or not words:
                words.append((text, count))
            else:
                before, counted = words[-1]
                words[-1] = (before + text, counted + count)
        return words

    def _characters(self, tokens: Sequence[int]) -> list[tuple[str, int]]:
        """Group tokens so that each group spells whole characters."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        groups: list[tuple[str, int]] = []
        text, count = "", 0
        for token in tokens:
            text += decoder.decode(self._bytes(token))
            count += 1
            if not decoder.getstate()[0]:
                groups.append((text, count))
                text, count = "", 0
        if count:
            groups.append((text + decoder.decode(b"", final=True), count))
        return groups
