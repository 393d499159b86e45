"""The network on CUDA: all windows together, in fixed shapes, recorded as graphs."""
