"""Answers to one question, as students hand them in."""

IMPORTS = "import numpy as np\nimport vidlearn as vl\n"
RIGHT = """
def normal_flow(Ix, Iy, It):
    squared = Ix**2 + Iy**2
    scale = -It / np.where(squared > 0, squared, 1)
    return np.stack([scale * Ix, scale * Iy], axis=-1)
"""
WRONG = RIGHT.replace("-It", "It")
ZEROS = "def normal_flow(Ix, Iy, It):\n    return np.zeros(Ix.shape + (2,))\n"
STUB = 'def normal_flow(Ix, Iy, It):\n    """Your turn."""\n    # YOUR CODE HERE\n    raise NotImplementedError\n'
