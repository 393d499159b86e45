"""The parts of the network that the CPU and CUDA share: layers, matrix products, tokens, the decoder interface."""
