// J = the sum of [Ix Ix, Ix Iy; Ix Iy, Iy Iy] over a K x K window and the colors, K = 2 RADIUS + 1.
//
// A pixel (gray, float32): 8 bytes read, 16 written; 3 K multiply-adds down the column, 3 K additions along the row.
// Memory bound. Floor on an H200 at 1920 x 1080: 49.8 MB at 4.3 TB/s (copy, measured; datasheet 4.8) = 11.6 us.
// How it gets near: the sum is separable (2 K steps, not K^2); the K-fold reading down a column is served by the L1
// cache, because the threads below read the same rows; one barrier in all.
extern "C" __global__ void structure_tensor(const real* Ix, const real* Iy, real2* J,
                                            int height, int width, int channels) {
    __shared__ real columns[ROWS][3][WIDTH];
    int x = window_x(), y = window_y();
    real sum[3] = {};
    if (x >= 0 && x < width)
        for (int row = max(y - RADIUS, 0); row <= min(y + RADIUS, height - 1); row++)
            for (int i = (row * width + x) * channels, end = i + channels; i < end; i++) {
                real gx = Ix[i], gy = Iy[i];
                sum[0] += gx * gx, sum[1] += gx * gy, sum[2] += gy * gy;
            }
    sum_along_row(sum, columns);
    if (!is_inner(height, width)) return;
    J[2 * (y * width + x)] = pair(sum[0], sum[1]);
    J[2 * (y * width + x) + 1] = pair(sum[1], sum[2]);
}
