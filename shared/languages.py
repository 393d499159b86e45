"""Whisper's languages: their codes, and what else people call them (core)."""

import re

NAMES: dict[str, str] = {
    "en": "english", "zh": "chinese", "de": "german", "es": "spanish", "ru": "russian", "ko": "korean",
    "fr": "french", "ja": "japanese", "pt": "portuguese", "tr": "turkish", "pl": "polish", "ca": "catalan",
    "nl": "dutch", "ar": "arabic", "sv": "swedish", "it": "italian", "id": "indonesian", "hi": "hindi",
    "fi": "finnish", "vi": "vietnamese", "he": "hebrew", "uk": "ukrainian", "el": "greek", "ms": "malay",
    "cs": "czech", "ro": "romanian", "da": "danish", "hu": "hungarian", "ta": "tamil", "no": "norwegian",
    "th": "thai", "ur": "urdu", "hr": "croatian", "bg": "bulgarian", "lt": "lithuanian", "la": "latin", "mi": "maori",
    "ml": "malayalam", "cy": "welsh", "sk": "slovak", "te": "telugu", "fa": "persian", "lv": "latvian",
    "bn": "bengali", "sr": "serbian", "az": "azerbaijani", "sl": "slovenian", "kn": "kannada", "et": "estonian",
    "mk": "macedonian", "br": "breton", "eu": "basque", "is": "icelandic", "hy": "armenian", "ne": "nepali",
    "mn": "mongolian", "bs": "bosnian", "kk": "kazakh", "sq": "albanian", "sw": "swahili", "gl": "galician",
    "mr": "marathi", "pa": "punjabi", "si": "sinhala", "km": "khmer", "sn": "shona", "yo": "yoruba", "so": "somali",
    "af": "afrikaans", "oc": "occitan", "ka": "georgian", "be": "belarusian", "tg": "tajik", "sd": "sindhi",
    "gu": "gujarati", "am": "amharic", "yi": "yiddish", "lo": "lao", "uz": "uzbek", "fo": "faroese",
    "ht": "haitian creole", "ps": "pashto", "tk": "turkmen", "nn": "nynorsk", "mt": "maltese", "sa": "sanskrit",
    "lb": "luxembourgish", "my": "myanmar", "bo": "tibetan", "tl": "tagalog", "mg": "malagasy", "as": "assamese",
    "tt": "tatar", "haw": "hawaiian", "ln": "lingala", "ha": "hausa", "ba": "bashkir", "jw": "javanese",
    "su": "sundanese", "yue": "cantonese",
}  # fmt: skip
"""English names by code, as Whisper has them."""

_ALIASES = {
    "burmese": "my", "valencian": "ca", "flemish": "nl", "haitian": "ht", "letzeburgesch": "lb", "pushto": "ps",
    "panjabi": "pa", "moldavian": "ro", "moldovan": "ro", "sinhalese": "si", "castilian": "es", "mandarin": "zh",
}  # fmt: skip
"""Names that Whisper knows beside those."""

_SUBTAGS = {"iw": "he", "ji": "yi", "jv": "jw", "nb": "no", "fil": "tl", "cmn": "zh", "in": "id"}
"""Subtags of language tags for which Whisper has another code."""

_CODES = {name: code for code, name in NAMES.items()} | _ALIASES | _SUBTAGS | {code: code for code in NAMES}
_TAG = re.compile(r"([a-z]{2,3})((?:[-_][a-z0-9]{2,8})+)")


def whisper_code(asked: str) -> str:
    """Return Whisper's code for a code, a tag such as ``pt-BR``, or a name; what is none of them only in lower case."""
    text = asked.strip().lower()
    if text in _CODES:
        return _CODES[text]
    tag = _TAG.fullmatch(re.split(r"[.@]", text)[0])  # a locale such as en_US.UTF-8 has an encoding
    if tag is None or tag[1] not in _CODES:
        return text
    extended = re.split(r"[-_]", tag[2])[1]
    return "yue" if tag[1] == "zh" and extended == "yue" else _CODES[tag[1]]
