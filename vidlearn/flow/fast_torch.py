"""What PyTorch runs with code of its own, on a CPU and on a GPU: `dense` alone.

Tried on a CPU and left to ``fast.py``: ``grid_sample`` is quicker than `warp`, but it rounds positions to a scale from
−1 to 1, so that a zero flow would not give the image back; ``avg_pool2d``, ``median`` and ``einsum`` are slower.
"""

from vidlearn.flow.fast_dense import dense

__all__ = ["dense"]
