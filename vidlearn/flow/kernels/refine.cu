// One round of iterative Lucas-Kanade, all of it: warp I1, gradients of I0, five products, window sums, solution.
//
// A pixel (gray, float32): 4 + 4 bytes of images and 8 of flow read, 8 written; about 130 flops for K = 5. Memory bound.
// Floor on an H200 at 1920 x 1080: 49.8 MB at 4.3 TB/s (measured copy; 4.8 on the datasheet) = 11.6 us.
// How it gets near: warping is the expensive part, so each product is computed once, into a shared tile that includes the
// rows above and below; (ROWS + 2 RADIUS) / ROWS of the work is done. Nothing but the new flow goes to memory.
extern "C" __global__ void refine(const real* I0, const real* I1, const real2* flow, real2* refined,
                                  int height, int width, int channels) {
    __shared__ real tile[ROWS + 2 * RADIUS][5][WIDTH];
    int x = window_x(), y = window_y(), left = clamp(x - 1, width), right = clamp(x + 1, width);
    for (int r = threadIdx.y; r < ROWS + 2 * RADIUS; r += ROWS) {
        int row = blockIdx.y * ROWS + r - RADIUS;
        real sum[5] = {};
        if (x >= 0 && x < width && row >= 0 && row < height) {
            real u = flow[row * width + x].x, v = flow[row * width + x].y;
            int up = clamp(row - 1, height), down = clamp(row + 1, height);
            real inside = x + u >= 0 && x + u <= width - 1 && row + v >= 0 && row + v <= height - 1;
            for (int c = 0; c < channels; c++) {  // at the border the difference is one-sided; on a line of 1 it is 0
                real gx = (I0[(row * width + right) * channels + c] - I0[(row * width + left) * channels + c]) / max(right - left, 1);
                real gy = (I0[(down * width + x) * channels + c] - I0[(up * width + x) * channels + c]) / max(down - up, 1);
                real moved = sample(I1, x + u, row + v, height, width, channels, c);
                real target = inside * (gx * u + gy * v - (moved - I0[(row * width + x) * channels + c]));
                gx *= inside, gy *= inside;
                sum[0] += gx * gx, sum[1] += gx * gy, sum[2] += gy * gy, sum[3] += gx * target, sum[4] += gy * target;
            }
        }
        for (int k = 0; k < 5; k++) tile[r][k][threadIdx.x] = sum[k];
    }
    __syncthreads();
    real sum[5] = {};
    for (int k = 0; k < 5; k++)
        for (int r = 0; r <= 2 * RADIUS; r++) sum[k] += tile[threadIdx.y + r][k][threadIdx.x];
    __syncthreads();  // the tile's first rows now take the column sums
    sum_along_row(sum, tile);
    if (is_inner(height, width)) refined[y * width + x] = solve(sum[0], sum[1], sum[2], sum[3], sum[4]);
}
