"""The operations that blocks are made of, twice: plain (the reference) and fast (for training).

Both compute the same function of the same weights; the tests hold them together in float32, loss
and gradients. Blocks take a `Kernels` value and never ask which one it is.
"""
