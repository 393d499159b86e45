"""The door to torch and whisper: a model's name becomes a recognizer, and audio becomes words.

::

    loading         a model's name becomes a recognizer
    recognizer      implements `gpu_worker.recognizer.Recognizer`: loads, unloads, VAD, steps
    step            all windows that are due: encode, detect the language, decode, align
    decoding        greedy decoding with drafts; repetition: its guard against loops
    network         one model on one device, computed on a CPU or on CUDA
    mel, vad        spectra and voice activity
    alignment       word times
    memory          returning freed memory to the system

    checkpoint/     finding, downloading, converting, checking and loading weights
    nn/             what cpu/ and cuda/ share: layers, matrix products, vocabulary, compaction, the decoder interface
    cpu/            encoder and decoder: one window after another, reusing frames from step to step
    cuda/           encoder and decoder: all windows together, in fixed shapes, recorded as graphs
"""

from gpu_worker.model.loading import default_model, load_recognizer

__all__ = ["default_model", "load_recognizer"]
