// Lucas-Kanade from the derivatives: window sums and the 2 x 2 solution in one pass, so that no sum ever goes to
// memory.
//
// A pixel (gray, float32): 12 bytes read, 8 written; 5 K multiply-adds down the column, 5 K additions along the row and
// some 25 operations to solve: about 100 flops for K = 5. Memory bound.
// Floor on an H200 at 1920 x 1080: 41.5 MB at 4.3 TB/s (copy, measured; datasheet 4.8) = 9.6 us. Done as array
// operations, each product and each sum goes to memory and back: more than ten times the bytes.
// How it gets near: as in structure_tensor.cu; then the limit is the 180 bytes a pixel (K = 5) that pass through L1 and
// shared memory, 128 bytes a clock on each of 132 multiprocessors: 11 us by count.
// With DAMPING, as one round of iterative Lucas-Kanade has it, each pixel is also pulled a little toward a flow it had
// before; without, `before` is not read.
extern "C" __global__ void lucas_kanade(const real* Ix, const real* Iy, const real* It, const real2* before,
                                        real2* flow, int height, int width, int channels) {
    __shared__ real columns[ROWS][5][WIDTH];
    int x = window_x(), y = window_y();
    real sum[5] = {};
    if (x >= 0 && x < width)
        for (int row = max(y - RADIUS, 0); row <= min(y + RADIUS, height - 1); row++)
            for (int i = (row * width + x) * channels, end = i + channels; i < end; i++) {
                real gx = Ix[i], gy = Iy[i], gt = It[i];
                sum[0] += gx * gx, sum[1] += gx * gy, sum[2] += gy * gy, sum[3] -= gx * gt, sum[4] -= gy * gt;
            }
    sum_along_row(sum, columns);
    if (is_inner(height, width)) {
        real2 old = DAMPING > 0 ? before[y * width + x] : pair(0, 0);
        flow[y * width + x] = solve_damped(sum, old);
    }
}
