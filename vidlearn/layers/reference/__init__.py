"""The layers from scratch in NumPy, forward and backward; each file is one kind, in the order it is taught."""
