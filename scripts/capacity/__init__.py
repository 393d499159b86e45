"""How many always-speaking streams a device carries, from measured steps of made-up weights.

::

    windows            core   what each decode of live speech had to do (windows.json: as measured)
    synthetic_weights  door   torch, whisper: weights of any official size, that take as many tokens as they are told
    stages             shell  the model's parts, timed
    step_timing        door   torch: steps on a device, timed
    simulation         core   a worker's loop in audio time, with measured step times
    capacity           shell  bench_engine --random-weights
"""
