// 3D convolution as a matrix product that is never laid out: an implicit GEMM.
//
//     y[o, place] = b[o] + sum_k w[o, k] column[k, place],   k = (channel, m, i, j) runs over a window
//
// im2col writes the columns to memory: each value of x once for every tap, 27 times for a 3 x 3 x 3 kernel. Here a
// block makes them where it needs them: it answers OUTPUTS channels at PLACES places, and for CHUNK rows k at a time
// brings that part of w and of the columns into shared memory. A value of w serves PLACES products there, one of a
// column OUTPUTS; each thread keeps EACH x EACH sums in registers, so that of 2 EACH values it fetches it makes
// EACH * EACH multiply-adds. For 64 x 64 x 16 in float32 that is 8 kB fetched from memory for 131 kflop: 16 a byte.
//
// Threads that lie side by side fetch places that lie side by side, so that reads of x are coalesced (stride 1).
// `real` is float or double. The grid: (tiles of places, tiles of outputs, clips x groups).
#define ROWS (OUTPUTS / EACH)
#define COLUMNS (PLACES / EACH)
#define THREADS (ROWS * COLUMNS)  // a multiple of PLACES and of CHUNK

extern "C" __global__ void __launch_bounds__(THREADS)
conv3d_tiled(const real* x, const real* w, const real* b, real* y, int groups, int inputs, int outputs,  // in a group
             int T, int H, int W, int Kt, int Kh, int Kw, int S, int P, int Q,  // sizes: x, the kernel, y
             int stride_t, int stride_h, int stride_w, int pad_t, int pad_h, int pad_w, int step_t, int step_h,
             int step_w) {
    __shared__ real weights[CHUNK][OUTPUTS + 1];  // one more column: rows start in different banks
    __shared__ real columns[CHUNK][PLACES];
    int thread = threadIdx.x, places = S * P * Q, taps = Kt * Kh * Kw, length = inputs * taps;
    int n = blockIdx.z / groups, group = blockIdx.z % groups;
    int first_output = blockIdx.y * OUTPUTS, first_place = blockIdx.x * PLACES;
    const real* clip = x + (size_t(n) * groups + group) * inputs * T * H * W;
    const real* kernel = w + size_t(group) * outputs * length;

    // the one place whose columns this thread fetches
    int mine = thread % PLACES, place = first_place + mine;
    int t0 = place / (P * Q) * stride_t - pad_t, y0 = place / Q % P * stride_h - pad_h, x0 = place % Q * stride_w - pad_w;

    real sum[EACH][EACH] = {};
    for (int start = 0; start < length; start += CHUNK) {
        for (int row = thread / PLACES; row < CHUNK; row += THREADS / PLACES) {
            int k = start + row, tap = k % taps;
            int t = t0 + tap / (Kh * Kw) * step_t, v = y0 + tap / Kw % Kh * step_h, u = x0 + tap % Kw * step_w;
            bool inside = k < length && place < places && t >= 0 && t < T && v >= 0 && v < H && u >= 0 && u < W;
            columns[row][mine] = inside ? clip[((size_t(k / taps) * T + t) * H + v) * W + u] : real(0);
        }
        for (int o = thread / CHUNK; o < OUTPUTS; o += THREADS / CHUNK) {
            int k = start + thread % CHUNK;
            bool inside = k < length && first_output + o < outputs;
            weights[thread % CHUNK][o] = inside ? kernel[size_t(first_output + o) * length + k] : real(0);
        }
        __syncthreads();  // the tiles are whole
#pragma unroll
        for (int k = 0; k < CHUNK; k++) {
            real a[EACH], c[EACH];
#pragma unroll
            for (int e = 0; e < EACH; e++) {
                a[e] = weights[k][thread / COLUMNS + e * ROWS];
                c[e] = columns[k][thread % COLUMNS + e * COLUMNS];
            }
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++) sum[i][j] += a[i] * c[j];
        }
        __syncthreads();  // everyone is done with the tiles
    }
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int o = first_output + thread / COLUMNS + i * ROWS, q = first_place + thread % COLUMNS + j * COLUMNS;
            if (o >= outputs || q >= places) continue;
            size_t channel = size_t(group) * outputs + o;
            y[(size_t(n) * groups * outputs + channel) * places + q] = sum[i][j] + b[channel];
        }
}
