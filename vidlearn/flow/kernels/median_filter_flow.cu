// The median of each component over 3 x 3 pixels, the border repeated; NaN if one of the nine is.
//
// A pixel (float32): 8 bytes read, 8 written; 2 x 19 exchanges, of a minimum and a maximum each. Memory bound.
// Floor on an H200 at 1920 x 1080: 33.2 MB at 4.3 TB/s (copy, measured; datasheet 4.8) = 7.7 us.
// How it gets near: nine values in registers, sorted only as far as the middle one needs (a sorting network: no
// branches, so all threads of a warp do the same); the nine-fold reading is served by the L1 cache.
__device__ void exchange(real& a, real& b) {
    real low = min(a, b);
    b = max(a, b), a = low;
}

__device__ real median(real v[9]) {
    real poison = 0;  // NaN if one value is; a minimum would hide it
    for (int i = 0; i < 9; i++)
        if (v[i] != v[i]) poison = v[i];
    exchange(v[1], v[2]), exchange(v[4], v[5]), exchange(v[7], v[8]);  // sort three columns …
    exchange(v[0], v[1]), exchange(v[3], v[4]), exchange(v[6], v[7]);
    exchange(v[1], v[2]), exchange(v[4], v[5]), exchange(v[7], v[8]);
    v[3] = max(v[0], v[3]), v[6] = max(v[3], v[6]);                    // … the largest of the smallest,
    exchange(v[4], v[7]), v[4] = max(v[1], v[4]), v[4] = min(v[4], v[7]);  // the middle of the middle ones,
    v[5] = min(v[5], v[8]), v[2] = min(v[2], v[5]);                    // the smallest of the largest:
    exchange(v[4], v[2]), v[4] = max(v[6], v[4]), v[4] = min(v[4], v[2]);  // and the middle one of these three
    return v[4] + poison;
}

extern "C" __global__ void median_filter_flow(const real2* flow, real2* out, int height, int width) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    real u[9], v[9];
    for (int i = 0; i < 9; i++) {
        real2 uv = flow[clamp(y + i / 3 - 1, height) * width + clamp(x + i % 3 - 1, width)];
        u[i] = uv.x, v[i] = uv.y;
    }
    out[y * width + x] = pair(median(u), median(v));
}

// The same for flow kept as two planes; blockIdx.z is the plane.
extern "C" __global__ void median_filter_planes(const real* flow, real* out, int height, int width) {
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    int plane = blockIdx.z * height * width;
    real v[9];
    for (int i = 0; i < 9; i++) v[i] = flow[plane + clamp(y + i / 3 - 1, height) * width + clamp(x + i % 3 - 1, width)];
    out[plane + y * width + x] = median(v);
}
