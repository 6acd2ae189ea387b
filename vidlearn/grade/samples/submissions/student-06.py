# %%
import matplotlib.pyplot as plt
import numpy as np

import vidlearn as vl


# %%
def spatiotemporal_gradients(I0, I1):
    Iy, Ix = np.gradient((I0 + I1) / 2, axis=(0, 1))
    return Ix, Iy, I1 - I0


# %%
def linearized_residual(Ix, Iy, It, flow):
    return Ix * flow[..., 0] + Iy * flow[..., 1] + It


# %%
def normal_flow(Ix, Iy, It):
    n = Ix**2 + Iy**2
    return np.stack([-It * Ix / n, -It * Iy / n], axis=-1)


# %%
plt.imshow(normal_flow(*spatiotemporal_gradients(np.eye(5), np.eye(5)))[..., 0])
vl.check(normal_flow)
