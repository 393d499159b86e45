"""Core: every constant of the recognition policy.

The values are first guesses that were measured once on an hour of English speech; tests fix behaviour, not values.
Lengths and positions are samples at 16 kHz.
"""

from dataclasses import dataclass

from gpu_worker.recognizer import VAD_FRAME
from shared.messages import SAMPLE_RATE


def samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The constants of one stream's policy.

    Attributes:
        speech_probability: a frame this likely to be speech counts towards an onset.
        keep_alive_threshold: a frame this likely to be speech continues an utterance.
        onset_frames: how many such frames in a row begin an utterance.
        end_silence_samples: this long without such a frame ends it. Readers pause for half a second in
            the middle of a sentence; what follows such a pause corrects what came before it (long: 5.95 -> 5.29 % WER
            at 0.5 s).
        pre_roll_samples: a window begins this long before the onset, so that no first phoneme is cut.
        post_roll_samples: the last decode of an utterance goes on this long after its last frame of speech.
        min_utterance_samples: a `finalize` closes no shorter utterance that goes on: of less Whisper makes up words.
        pause_samples: after this much silence no decode is due if the last one covered the end of the speech ...
        cover_samples: ... and it has, if it went this far past the last frame of speech.
        context_samples: audio kept before a window's start.
        silence_keep_samples: audio kept in silence: the last that is judged, enough for pre-roll, onset and context.
        vad_min_samples: less audio is not worth a call of the VAD, unless a control or a decode waits for it: one frame
            costs as much as eight.
        vad_max_samples: most audio of a stream in one call of the VAD: a backlog cannot fill a step.
        idle_report_samples: in silence a hypothesis goes out each time this much audio has passed.

        fast_cadence_samples: below this cadence two hypotheses must agree; from it on one confident one is enough.
        fast_margin_samples: how far before the window's end an agreed word must end, at a fast cadence.
        agreed_margin_samples: the same at a slow cadence.
        confident_margin_samples: how far before the window's end a confident word must end.
        confident_logprob: least log probability of each token of a confident word.
        backlog_cadence_samples: from this cadence on there is a backlog, and a word passes by its distance alone ...
        backlog_margin_samples: ... if it ends this far before the window's end.
        reuse_cadence_samples: from this cadence on, when time is short, a decode reuses frames that the last one
            encoded: a third less compute, for 0.13 points of word error rate at 1 s (0.31 at 0.5 s).
        first_commit_samples: a shorter window commits no first word: what Whisper makes of so little is a guess.
        language_samples: a shorter window does not settle the language of a stream.
        last_margin_samples: the last word of a hypothesis stays open if it ends this close to the window's end.

        hide_logprob: a first hypothesis with a lower mean log probability is hidden ...
        hide_possible_silence: ... if it has a higher probability of no speech than this. Of what Whisper writes on
            noise none has less than 0.68 (singing 0.35); on speech that is hard to it, most of all where it translates,
            its words are as unlikely at 0.25 and less, and all of an utterance would be lost with them.
        hide_no_speech: nor is one with a higher probability of no speech than this ...
        hide_no_speech_logprob: ... together with a mean log probability lower than this.

        window_samples: from this length on a window is trimmed; catching up, windows are this long. Long, at 0.5 and
            1 s: 5.3/5.2 % WER with 12 s, 5.3/5.6 with 13, 5.2/5.4 with 14, 4.8/5.0 with 15 and with 18 s. With 15 s
            and the longer silence decodes cost 10 to 20 % more than with 12 s and 0.5 s.
        flush_window_samples: an utterance that has ended is decoded in one window up to this length.
        hard_window_samples: at this length everything is committed and the window starts anew.
        min_window_samples: shorter windows hold no word and are not decoded.
        catch_up_samples: with more audio than this not judged yet, judge it before decoding.
        stride_samples: how far a window that could not be trimmed grows in one decode.
        sentence_margin_samples: a sentence or clause must end this long before the window's end to be cut after.
        word_margin_samples: the same for a word.
        sentence_rest: largest part of ``window_samples`` that may remain after a cut at a sentence.
        clause_rest: largest part of it that may remain after a cut at a clause.
        min_cut_samples: a cut gains at least this much.
        segment_samples: a segment this long closes at the next end of a sentence ...
        hard_segment_samples: ... and one this long after any word.
        stall_samples: speech that a hypothesis leaves uncovered for longer than this starts a new window.
        flush_stall_samples: the same at the end of an utterance.
        flush_stall_tries: how often the end of an utterance is decoded anew for that reason.
        word_span_samples: most audio that one word is believed to cover.
    """

    speech_probability: float = 0.5
    keep_alive_threshold: float = 0.35
    onset_frames: int = 2
    end_silence_samples: int = samples(0.7)
    pre_roll_samples: int = samples(0.3)
    post_roll_samples: int = samples(0.3)
    min_utterance_samples: int = samples(0.5)
    pause_samples: int = samples(0.2)
    cover_samples: int = samples(0.1)
    context_samples: int = samples(0.5)
    silence_keep_samples: int = samples(1.0)
    vad_min_samples: int = 8 * VAD_FRAME
    vad_max_samples: int = samples(10.0)
    idle_report_samples: int = samples(0.9)

    fast_cadence_samples: int = samples(0.8)
    fast_margin_samples: int = samples(0.3)
    agreed_margin_samples: int = samples(0.2)
    confident_margin_samples: int = samples(0.4)
    confident_logprob: float = -0.7
    backlog_cadence_samples: int = samples(3.0)
    backlog_margin_samples: int = samples(1.5)
    reuse_cadence_samples: int = samples(0.8)
    first_commit_samples: int = samples(1.6)
    last_margin_samples: int = samples(0.6)
    language_samples: int = samples(3.0)

    hide_logprob: float = -1.0
    hide_possible_silence: float = 0.3
    hide_no_speech: float = 0.6
    hide_no_speech_logprob: float = -0.7

    window_samples: int = samples(15.0)
    flush_window_samples: int = samples(17.0)
    hard_window_samples: int = samples(27.0)
    min_window_samples: int = samples(0.1)
    catch_up_samples: int = samples(3.0)
    stride_samples: int = samples(4.0)
    sentence_margin_samples: int = samples(1.0)
    word_margin_samples: int = samples(2.0)
    sentence_rest: float = 0.8
    clause_rest: float = 0.6
    min_cut_samples: int = samples(0.5)
    segment_samples: int = samples(10.0)
    hard_segment_samples: int = samples(30.0)
    stall_samples: int = samples(2.5)
    flush_stall_samples: int = samples(1.0)
    flush_stall_tries: int = 3
    word_span_samples: int = samples(1.2)
