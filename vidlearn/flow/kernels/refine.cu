// One round of iterative Lucas-Kanade, all of it: warp I1, gradients of I0, five products, window sums, solution.
//
// A pixel (gray, float32): 4 + 4 bytes of images and 8 of flow read, 8 written; about 130 flops for K = 5. Memory
// bound.
// Floor on an H200 at 1920 x 1080: 49.8 MB at 4.3 TB/s (copy, measured; datasheet 4.8) = 11.6 us.
// How it gets near: warping is the expensive part, so each product is computed once, into a shared tile that includes
// the rows above and below; (ROWS + 2 RADIUS) / ROWS of the work is done. Nothing but the new flow goes to memory.

// What one pixel and color says of the full flow d: (gx, gy) . d = target, all 0 where the flow leaves the frame
struct Equation { real gx, gy, target; };
__device__ Equation equation(const real* I0, const real* I1, const real2* flow, int x, int y, int c,
                             int height, int width, int channels) {
    int left = clamp(x - 1, width), right = clamp(x + 1, width), up = clamp(y - 1, height), down = clamp(y + 1, height);
    const real *across = I0 + y * width * channels + c, *along = I0 + x * channels + c;
    real gx = (across[right * channels] - across[left * channels]) / max(right - left, 1);  // at the border one-sided,
    real gy = (along[down * width * channels] - along[up * width * channels]) / max(down - up, 1);  // on a line of 1, 0
    real u = flow[y * width + x].x, v = flow[y * width + x].y;
    real inside = x + u >= 0 && x + u <= width - 1 && y + v >= 0 && y + v <= height - 1;
    real difference = sample(I1, x + u, y + v, height, width, channels, c) - across[x * channels];
    return {gx * inside, gy * inside, (gx * u + gy * v - difference) * inside};
}

#ifdef RADIUS
extern "C" __global__ void refine(const real* I0, const real* I1, const real2* flow, real2* refined,
                                  int height, int width, int channels) {
    __shared__ real tile[ROWS + 2 * RADIUS][5][WIDTH];
    int x = window_x(), y = window_y();
    for (int r = threadIdx.y; r < ROWS + 2 * RADIUS; r += ROWS) {
        int row = blockIdx.y * ROWS + r - RADIUS;
        real sum[5] = {};
        if (x >= 0 && x < width && row >= 0 && row < height)
            for (int c = 0; c < channels; c++) {
                Equation e = equation(I0, I1, flow, x, row, c, height, width, channels);
                sum[0] += e.gx * e.gx, sum[1] += e.gx * e.gy, sum[2] += e.gy * e.gy;
                sum[3] += e.gx * e.target, sum[4] += e.gy * e.target;
            }
        for (int k = 0; k < 5; k++) tile[r][k][threadIdx.x] = sum[k];
    }
    __syncthreads();
    real sum[5] = {};
    for (int k = 0; k < 5; k++)
        for (int r = 0; r <= 2 * RADIUS; r++) sum[k] += tile[threadIdx.y + r][k][threadIdx.x];
    __syncthreads();  // the tile's first rows now take the column sums
    sum_along_row(sum, tile);
    if (is_inner(height, width)) refined[y * width + x] = solve_damped(sum, flow[y * width + x]);
}
#endif

// For windows whose tile is too large for shared memory: only the equations; lucas_kanade.cu solves them.
extern "C" __global__ void equations(const real* I0, const real* I1, const real2* flow, real* Ix, real* Iy, real* It,
                                     int height, int width, int channels) {
    int i = blockIdx.x * blockDim.x + threadIdx.x, pixel = i / channels;
    if (i >= height * width * channels) return;
    Equation e = equation(I0, I1, flow, pixel % width, pixel / width, i % channels, height, width, channels);
    Ix[i] = e.gx, Iy[i] = e.gy, It[i] = -e.target;
}
