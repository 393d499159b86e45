"""Text as it is compared: Whisper's own normalisers (door: the only importer of them)."""

from functools import lru_cache

from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from .scoring import Normalise


def normaliser(language: str | None) -> Normalise:
    """Return what cuts text of a language into the words that are compared; English where none is named."""
    english = language in {None, "en", "english"}
    clean = EnglishTextNormalizer() if english else BasicTextNormalizer()

    @lru_cache(maxsize=100_000)
    def normalise(text: str) -> list[str]:
        return str(clean(text)).split()

    return normalise
