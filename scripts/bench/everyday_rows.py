"""What the everyday set says, row by row: own sentences for espeak-ng, and public-domain recordings (data).

``[1.5]`` in a sentence is a pause of so many seconds. A row has about a hundred words, so that one of them is about a
point of its error rate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scripts.tools.synthesis import Pcm

CLIPS = ("LJ001-0004", "LJ001-0009", "LJ001-0017", "LJ001-0019", "LJ001-0029", "LJ001-0030")
JFK = "jfk"
"""Kennedy's inaugural address of 1961, eleven seconds: a work of the US government, in the public domain. It is the
sample that Whisper's own examples use; jfk.flac beside this module."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """Said by espeak-ng; ``voice`` as in `espeak-ng --voices`, with a variant after a plus sign."""

    text: str
    voice: str = "en-us"
    words_per_minute: int = 160


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording by its id, with pauses put in: after so many words, of so many seconds."""

    id: str
    pauses: tuple[tuple[int, float], ...] = ()


Session = tuple[Spoken | Recorded, ...]


def unchanged(pcm: Pcm) -> Pcm:
    return pcm


def quiet(pcm: Pcm) -> Pcm:
    """Return it 30 dB quieter."""
    changed: Pcm = np.rint(pcm * 10 ** (-30 / 20)).astype(np.int16)
    return changed


def clipped(pcm: Pcm) -> Pcm:
    """Return it 24 dB above what fits, cut off there."""
    peak = int(np.abs(pcm.astype(np.int32)).max(initial=1))
    changed: Pcm = np.clip(pcm * (10 ** (24 / 20) * 32767 / peak), -32768, 32767).astype(np.int16)
    return changed


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: sessions that are alike in one thing, all changed by ``effect``."""

    name: str
    sessions: tuple[Session, ...]
    effect: Callable[[Pcm], Pcm] = unchanged


def _each(*texts: str, voice: str = "en-us", words_per_minute: int = 160) -> tuple[Session, ...]:
    """Return a session for each text."""
    return tuple((Spoken(text, voice, words_per_minute),) for text in texts)


_PLAIN = (
    "Good morning everybody. The meeting about the new garden begins at nine, and the coffee is in the kitchen.",
    "We looked at three houses last week, but none of them had enough room for the children and the dog.",
    "Please send me the report before lunch, because I have to read it on the train to the city.",
    "The weather will be cold and wet tomorrow, so take a warm coat and an umbrella with you.",
    "My sister works in a hospital near the river, and she often comes home late in the evening.",
    "If nobody has a question, we can stop here and go on with the next chapter after the break.",
)
_RECORDINGS: tuple[Session, ...] = ((Recorded(JFK),), tuple(Recorded(each) for each in CLIPS))

ROWS = (
    Row(
        "famous: jfk",
        (
            (Recorded(JFK),),
            (Recorded(JFK), Recorded(JFK)),
            (Recorded(JFK, ((0, 3.0),)),),
            (Recorded(JFK, ((5, 2.0),)),),
        ),
    ),
    Row("shipped: LJ Speech", (tuple(Recorded(each) for each in CLIPS),)),
    Row("plain sentences", _each(*_PLAIN)),
    Row(
        "pauses in recordings",
        (
            (
                Recorded("LJ001-0004", ((4, 1.0),)),
                Recorded("LJ001-0009", ((2, 0.5), (5, 1.5))),
                Recorded("LJ001-0017", ((16, 2.0),)),
            ),
            (
                Recorded("LJ001-0019", ((10, 1.0),)),
                Recorded("LJ001-0029", ((5, 0.7), (8, 3.0))),
                Recorded("LJ001-0030", ((14, 1.5),)),
            ),
        ),
    ),
    Row(
        "pauses in sentences",
        _each(
            "I would like to order [0.7] a large pizza with cheese [1.5] and a bottle of water [1.0] for the table.",
            "The train to London [2.0] leaves from platform four [0.5] in about twenty minutes.",
            "When we were young [1.0] we used to play outside [3.0] until it was dark.",
            "My answer is [1.5] that we should wait [0.6] and look at it again next year.",
            "She opened the door [2.5] and there was nobody [0.8] in the whole house.",
            "First you turn the key [0.5] then you push the button [1.2] and then the light goes green.",
        ),
    ),
    Row(
        "pauses between sentences",
        _each(
            "The shop is closed today. [1.0] We can come back tomorrow. [2.0] It opens at eight in the morning. [3.0] "
            "Do you want to walk home with me? [0.5] I think it will not rain.",
            "This is the first page. [0.5] Please read it slowly. [1.5] Now turn to the second page. [2.5] There is a "
            "picture of a ship. [1.0] It has three white sails and a red flag.",
            "I called the doctor this morning. [3.0] He said that everything is fine. [0.7] You may go back to work on "
            "Monday. [1.0] But you should drink more water and sleep well.",
        ),
    ),
    Row(
        "repeated words",
        _each(
            "No, no, no, no, I did not say that. I said it is very, very, very good.",
            "Wait, wait, wait, there is one more thing that we have to talk about.",
            "It was a long, long, long time ago, in a house far, far away from here.",
            "Yes yes yes, I know, I know, we will be there at noon.",
            "He knocked again and again and again, but nobody came to open the door.",
            "Thank you, thank you, thank you all for coming here tonight. Bye bye.",
            "Left, left, right, right, left, and then you stop in front of the church.",
        ),
    ),
    Row(
        "spelled letters",
        _each(
            "My name is Brown. That is B, R, O, W, N. The first name is Peter, P, E, T, E, R.",
            "The code on the box is A, B, C, D, E, F, and the key is X, Y, Z.",
            "Please write to the office in Leeds, L, E, E, D, S, and ask for Mister Hall, H, A, L, L.",
            "The letters of the word house are H, O, U, S, E. The word tree has T, R, E, E.",
            "Go to gate C, row K, and wait behind the letter M.",
        ),
    ),
    Row(
        "numbers",
        _each(
            "Call me at five five five, two one two, three four five six, after seven in the evening.",
            "The ticket costs twelve dollars and fifty cents, and the book was nineteen dollars.",
            "She was born in nineteen eighty four, and moved here in two thousand and six.",
            "There are twenty three people in the room, and one hundred and fifty chairs.",
            "The flight leaves at ten thirty from gate seventeen and takes six hours.",
            "About forty percent of the money went to three schools in nineteen ninety nine.",
            "Our address is two hundred and twelve Main Street, and the room is number nine.",
        ),
    ),
    Row(
        "short answers, each alone",
        _each(
            *("Yes.", "No.", "Okay, thanks.", "Yes, please.", "No, thank you.", "Maybe later.", "I think so."),
            *("That is right.", "Not today.", "Of course.", "I do not know.", "See you tomorrow.", "Good morning."),
            *("Just a moment.", "Thank you very much.", "That sounds good.", "I am not sure.", "Two, please."),
            *("Go ahead.", "Can you repeat that?", "It is on the left.", "We are ready.", "Never mind.", "Hello?"),
            *("My name is Anna.", "At half past nine.", "In the kitchen.", "Nothing at all.", "How are you?"),
            *("I am fine, thanks.", "Why not?", "Let us begin.", "Come in.", "Have a nice day."),
        ),
    ),
    Row(
        "short answers in a talk",
        _each(
            "Hello? [1.5] Yes, this is Anna. [2.0] No. [1.0] Not today. [2.0] Okay, thanks. [1.5] Yes. [1.0] Yes, "
            "please. [2.5] Maybe on Friday. [1.0] I think so. [2.0] Good. [1.5] Goodbye.",
            "Are you ready? [1.0] Yes. [1.0] Do you live here? [1.5] No. [1.0] Where do you live? [1.5] In London. "
            "[1.0] How long? [1.5] Two years. [1.0] Do you like it? [1.0] Very much. [2.0] Okay. [1.0] Thank you.",
            "Name? [1.0] Peter Brown. [1.5] Age? [1.0] Forty. [1.5] Coffee or tea? [1.0] Tea, please. [1.0] Sugar? "
            "[1.0] No. [1.0] Milk? [1.0] A little. [1.5] Here you are. [1.0] Thanks. [2.0] Anything else? [1.0] "
            "Nothing else. [1.0] That is all.",
            "Can you hear me? [1.0] Yes, I can. [1.5] Can you see me? [1.0] No, not yet. [2.0] And now? [1.0] Yes. "
            "[1.0] Good. [1.5] Shall we begin? [1.0] Of course. [1.0] Wait. [2.0] Sorry. [1.0] Go on.",
        ),
    ),
    Row("whispered", _each(*_PLAIN, voice="en-us+whisper", words_per_minute=140)),
    Row("clipped recordings", _RECORDINGS, clipped),
    Row("clipped sentences", _each(*_PLAIN), clipped),
    Row("quiet recordings", _RECORDINGS, quiet),
    Row("quiet sentences", _each(*_PLAIN), quiet),
    Row(
        "names and abbreviations",
        _each(
            "Mr. Smith met Dr. Brown and Mrs. Jones at St. Mary's Hospital on Monday. They talked for an hour.",
            "Mary and David flew from New York to Paris, and then took the train to Berlin with Mr. Miller.",
            "The BBC and CNN showed the news from the USA at 9 p.m. on Friday, and again at 7 a.m. on Sunday.",
            "Dr. Martin works for the UN in Geneva. He was a teacher in Chicago, e.g. at the school on Oak Street.",
            "Prof. Taylor wrote to Apple, Google, etc. Nobody from California answered before December.",
            "Anna Green, Tom White vs. the State of Texas. That was in June.",
        ),
    ),
    Row("slow speech", _each(*_PLAIN, words_per_minute=105)),
    Row("quick speech", _each(*_PLAIN, words_per_minute=230)),
    Row(
        "several voices",
        tuple(
            (Spoken(text, voice),)
            for text, voice in zip(
                _PLAIN,
                ("en-gb", "en-us+f3", "en-gb-scotland", "en-us+m7", "en-gb-x-rp+f2", "en-us+klatt2"),
                strict=True,
            )
        ),
    ),
    Row("a talk without a break", (tuple(Spoken(text) for text in _PLAIN),)),
)
