"""What PyTorch runs with code of its own, on a CPU and on a GPU."""

from vidlearn.flow.fast_dense import dense

__all__ = ["dense"]
