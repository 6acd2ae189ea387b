"""NumPy, made fast where the reference is made to be read."""

from vidlearn.flow.fast_dense import dense

__all__ = ["dense"]
