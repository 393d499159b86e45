"""Core: full stops that end no sentence: after abbreviations, initials and ordinals."""

import re
from collections.abc import Sequence

from gpu_worker.recognizer import TimedWord

_ENGLISH = """
    mr mrs ms mx dr prof rev hon sr jr st mt ft gen col capt cmdr lt maj sgt cpl pvt adm gov sen rep pres supt
    messrs mmes vs etc al cf approx dept est inc ltd co corp bros assn ave blvd rd hwy vol pp ed eds fig
"""
_ABBREVIATIONS = {
    "en": _ENGLISH,
    "de": _ENGLISH
    + " z d u i o s a hr fr bzw usw ca evtl ggf inkl exkl str nr bspw sog zzgl abs dipl ing geb gest jh mio mrd vgl",
    "fr": _ENGLISH + " mm mme mmes mlle mlles me mgr dr pr av bd env ex p chap",
    "es": _ENGLISH + " sr sra sres srta srtas dr dra d dña ud uds av avda pág núm ej",
    "it": _ENGLISH + " sig sigg sigra dott dottssa ing avv arch prof on pag ecc",
    "pt": _ENGLISH + " sr sra srta dr dra exmo av pág núm ex",
    "nl": _ENGLISH + " dhr mevr mw drs ir mr bijv nl enz blz ca",
}
_WORDS = {language: frozenset(words.split()) for language, words in _ABBREVIATIONS.items()}

_BEFORE_NUMBERS = frozenset(["no", "nos", "nr", "art", "sec", "ch", "p", "op", "fig", "vol", "núm", "n"])
"""Words of their own that are abbreviations where a number follows: "No. 5"."""

_ORDINALS = frozenset(("de", "da", "no", "nn", "sv", "fi", "et", "cs", "sk", "pl", "hu", "hr", "sr", "sl", "tr", "lv"))
"""Languages that write "the third" as "3."."""

_LETTERS = re.compile(r"(?:[^\W\d_]\.){2,}|[A-HJ-ZÄÖÜÉÈ]\.")  # "U.S.", "e.g.", "z.B.", "J."; "I." ends a sentence
_OPENING = "\"'“‘«([¿¡„"  # noqa: RUF001 (quotes may come before a title)
_REACH = 8  # words back that one written word may be made of


def ends_sentence(words: Sequence[TimedWord], index: int, language: str) -> bool:
    """Return False if ``words[index]`` ends with a full stop that belongs to the word, so that the sentence goes on.

    Args:
        words: of a hypothesis, in order; a full stop may be a word of its own.
        index: the word with the mark.
        language: Whisper code of what is written.
    """
    written = "".join(word.text for word in words[max(0, index - _REACH) : index + 1]).split()
    last = written[-1].lstrip(_OPENING) if written else ""
    if not last.endswith(".") or last.endswith(".."):
        return True
    if _LETTERS.fullmatch(last):
        return False
    before = last[:-1].casefold()
    if before in _WORDS.get(language, _WORDS["en"]):
        return False
    if before in _BEFORE_NUMBERS:
        following = next((word.text.strip() for word in words[index + 1 :] if word.text.strip()), "")
        return bool(following) and not following[0].isdigit()
    return not (language in _ORDINALS and before.isdecimal() and len(before) <= 2)
