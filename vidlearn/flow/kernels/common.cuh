// Shared by the flow kernels. `real` is float or double, `real2` a pair of them: (u, v), stored 8 or 16 bytes at once.

__device__ real2 pair(real u, real v) {
    real2 both;
    both.x = u, both.y = v;
    return both;
}

__device__ int clamp(int i, int n) { return min(max(i, 0), n - 1); }

// The solution of [a b; b c] d = (p, q); where the matrix is singular, the shortest one.
// Dividing by the trace first keeps tiny and huge gradients in range. The rank is 1 where the second eigenvalue is
// below 64 eps of the first; then J / lambda^2 is the pseudo-inverse.
__device__ real2 solve(real a, real b, real c, real p, real q) {
    const real eps = sizeof(real) == 4 ? real(1.1920929e-7) : real(2.220446049250313e-16);
    real trace = a + c;
    if (trace == 0) return pair(0, 0);
    a /= trace, b /= trace, c /= trace, p /= trace, q /= trace;
    real half = (a - c) / 2, largest = real(0.5) + sqrt(half * half + b * b), det = a * c - b * b;
    if (det > 64 * eps * largest * largest) return pair((c * p - b * q) / det, (a * q - b * p) / det);
    return pair((a * p + b * q) / (largest * largest), (b * p + c * q) / (largest * largest));
}

#ifdef DAMPING
// (J + DAMPING I) d = b + DAMPING old: where the window says nothing, the old flow stays.
__device__ real2 solve_damped(const real* sum, real2 old) {
    const real pull = real(DAMPING);
    return solve(sum[0] + pull, sum[1], sum[2] + pull, sum[3] + pull * old.x, sum[4] + pull * old.y);
}
#endif

// I(x + u, y + v) of channel c, bilinear, the border repeated; NaN where the flow is.
__device__ real sample(const real* image, real x, real y, int height, int width, int channels, int c) {
    if (x != x || y != y) return x + y;
    x = min(max(x, real(0)), real(width - 1)), y = min(max(y, real(0)), real(height - 1));
    int left = int(x), top = int(y), right = min(left + 1, width - 1), bottom = min(top + 1, height - 1);
    real s = x - left, t = y - top;
    const real *above = image + top * width * channels + c, *below = image + bottom * width * channels + c;
    return (1 - t) * ((1 - s) * above[left * channels] + s * above[right * channels]) +
           t * ((1 - s) * below[left * channels] + s * below[right * channels]);
}

#ifdef RADIUS
// A block has WIDTH x ROWS threads. Its outermost RADIUS columns are the neighbors' and only help: they bring in the
// column sums that the inner ones need. So each thread sums down its own column, from global memory, and only the sum
// along the row goes through shared memory.
#define INNER (WIDTH - 2 * RADIUS)

__device__ int window_x() { return blockIdx.x * INNER + threadIdx.x - RADIUS; }
__device__ int window_y() { return blockIdx.y * ROWS + threadIdx.y; }
__device__ bool is_inner(int height, int width) {
    return threadIdx.x >= RADIUS && threadIdx.x < WIDTH - RADIUS && window_x() < width && window_y() < height;
}

// Each thread hands in the sums of its column and gets back the sums of its window (if it is an inner one).
template <int N> __device__ void sum_along_row(real (&sum)[N], real (*columns)[N][WIDTH]) {
    for (int k = 0; k < N; k++) columns[threadIdx.y][k][threadIdx.x] = sum[k];
    __syncthreads();
    if (threadIdx.x < RADIUS || threadIdx.x >= WIDTH - RADIUS) return;
    for (int k = 0; k < N; k++) {
        sum[k] = 0;
        for (int d = -RADIUS; d <= RADIUS; d++) sum[k] += columns[threadIdx.y][k][threadIdx.x + d];
    }
}
#endif
