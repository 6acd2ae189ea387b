// c(dy, dx, y, x) = 1/C sum_c f1(c, y, x) f2(c, y + dy, x + dx) for |dy|, |dx| <= REACH; zero outside f2.
//
// A pixel (float32, C channels, S = 2 REACH + 1): 8 C bytes read, 4 S^2 written; 2 C S^2 flops. For C = 128 and REACH =
// 4 that is 20.7 kflop against 1.35 kB, 15 flops a byte: at the H200's ridge (67 Tflop/s over 4.3 TB/s measured copy,
// 4.8 on the datasheet). Floor for 240 x 135 pixels: 10.0 us for the arithmetic, 10.2 us for the memory.
// How it gets near: an operand fetched from shared memory for one multiply-add would take 4 times the floor. So a
// thread owns PIXELS rows of one column and, for NX horizontal displacements, all S vertical ones: each value of f2
// that it fetches serves up to PIXELS of its sums, which stay in registers. A block shares a tile of f2, CHUNK channels
// at a time.
#define SPAN (2 * REACH + 1)
#define TALL (ROWS * PIXELS + 2 * REACH)
#define WIDE (WIDTH + NX - 1)

extern "C" __global__ void __launch_bounds__(WIDTH * ROWS)
correlation_volume(const real* f1, const real* f2, real* volume, int channels, int height, int width) {
    __shared__ real tile[CHUNK][TALL][WIDE];
    int first = blockIdx.z * NX;  // the block's first column of displacements
    int x0 = blockIdx.x * WIDTH, y0 = blockIdx.y * ROWS * PIXELS;
    int x = x0 + threadIdx.x, y = y0 + threadIdx.y * PIXELS;
    real sum[NX][PIXELS][SPAN] = {};
    for (int start = 0; start < channels; start += CHUNK) {
        __syncthreads();  // everyone is done with the tile before
        for (int i = threadIdx.y * WIDTH + threadIdx.x; i < CHUNK * TALL * WIDE; i += WIDTH * ROWS) {
            int c = start + i / (TALL * WIDE), row = y0 + i / WIDE % TALL - REACH;
            int column = x0 + i % WIDE + first - REACH;
            bool inside = c < channels && row >= 0 && row < height && column >= 0 && column < width;
            real value = inside ? f2[(size_t(c) * height + row) * width + column] : real(0);
            tile[i / (TALL * WIDE)][i / WIDE % TALL][i % WIDE] = value;
        }
        __syncthreads();
        for (int c = 0; c < CHUNK && start + c < channels; c++) {
            real mine[PIXELS];
            for (int p = 0; p < PIXELS; p++)
                mine[p] = x < width && y + p < height ? f1[(size_t(start + c) * height + y + p) * width + x] : real(0);
#pragma unroll
            for (int n = 0; n < NX; n++)
#pragma unroll
                for (int r = 0; r < SPAN + PIXELS - 1; r++) {
                    real other = tile[c][threadIdx.y * PIXELS + r][threadIdx.x + n];
#pragma unroll
                    for (int p = 0; p < PIXELS; p++)
                        if (r >= p && r - p < SPAN) sum[n][p][r - p] += mine[p] * other;
                }
        }
    }
#pragma unroll
    for (int n = 0; n < NX; n++)
#pragma unroll
        for (int p = 0; p < PIXELS; p++)
#pragma unroll
            for (int dy = 0; dy < SPAN; dy++)
                if (first + n < SPAN && x < width && y + p < height)
                    volume[(size_t(dy * SPAN + first + n) * height + y + p) * width + x] = sum[n][p][dy] / channels;
}
