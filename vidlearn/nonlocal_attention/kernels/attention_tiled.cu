// Attention in one pass over the keys: the scores of a tile live in shared memory, and never leave the chip.
//
//     y[i] = sum_j e^(s q_i . k_j) v[j] / sum_j e^(s q_i . k_j)
//
// A block answers QUERIES queries. It brings KEYS keys and their values into shared memory, scores them, and keeps for
// each query the largest score so far, the sum and the weighted sum. Where a tile brings a larger score, what was summed
// before is scaled down by e^(old - new). The whole form writes L * M weights and reads them again; this one reads q once,
// k and v once for every QUERIES queries, and writes y: for D = E = 64, 64 queries and float32 that is 16 kB for every
// 0.5 Mflop of a tile of 32 keys: 32 a byte, from the cache.
//
// 256 threads, 16 x 16: thread (row, column) has the scores and the answers of queries row + 16 i at keys and features
// column + 16 j. For maximum and sum, LANES threads share a query.
// `real` is float or double, LOWEST its most negative number (NVRTC knows no INFINITY); D and E are the features of keys and values. The grid: tiles of queries times samples.
#define SIDE 16
#define THREADS (SIDE * SIDE)
#define ROWS (QUERIES / SIDE)
#define SCORES (KEYS / SIDE)
#define FEATURES ((E + SIDE - 1) / SIDE)
#define LANES (THREADS / QUERIES)

extern "C" __global__ void __launch_bounds__(THREADS)
attention_tiled(const real* q, const real* k, const real* v, real* y, int L, int M, real scale) {
    __shared__ real queries[QUERIES][D + 1];  // one more column: rows start in different banks
    __shared__ real keys[KEYS][D + 1];
    __shared__ real values[KEYS][E];
    __shared__ real weights[QUERIES][KEYS + 1];
    __shared__ real part[QUERIES][LANES];
    __shared__ real largest[QUERIES];
    __shared__ real total[QUERIES];
    __shared__ real correction[QUERIES];
    int thread = threadIdx.x, row = thread / SIDE, column = thread % SIDE;
    int tiles = (L + QUERIES - 1) / QUERIES, n = blockIdx.x / tiles, first = blockIdx.x % tiles * QUERIES;
    q += size_t(n) * L * D, k += size_t(n) * M * D, v += size_t(n) * M * E, y += size_t(n) * L * E;

    for (int i = thread; i < QUERIES * D; i += THREADS)
        queries[i / D][i % D] = first + i / D < L ? q[size_t(first) * D + i] * scale : real(0);
    if (thread < QUERIES) largest[thread] = LOWEST, total[thread] = 0;

    real sum[ROWS][FEATURES] = {};
    for (int start = 0; start < M; start += KEYS) {
        for (int i = thread; i < KEYS * D; i += THREADS)
            keys[i / D][i % D] = start + i / D < M ? k[size_t(start) * D + i] : real(0);
        for (int i = thread; i < KEYS * E; i += THREADS)
            values[i / E][i % E] = start + i / E < M ? v[size_t(start) * E + i] : real(0);
        __syncthreads();  // the tile is whole

        real score[ROWS][SCORES] = {};
        for (int d = 0; d < D; d++) {
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < SCORES; j++)
                    score[i][j] += queries[row + i * SIDE][d] * keys[column + j * SIDE][d];
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int j = 0; j < SCORES; j++) {
                int key = column + j * SIDE;
                weights[row + i * SIDE][key] = start + key < M ? score[i][j] : LOWEST;
            }
        __syncthreads();  // all scores are there

        int query = thread / LANES, lane = thread % LANES;
        real most = LOWEST;
        for (int key = lane; key < KEYS; key += LANES) most = max(most, weights[query][key]);
        part[query][lane] = most;
        __syncthreads();  // each lane's largest is there
        real before = largest[query];
        most = before;
        for (int other = 0; other < LANES; other++) most = max(most, part[query][other]);
        __syncthreads();  // all have read the largest and the parts, which now change
        real added = 0;
        for (int key = lane; key < KEYS; key += LANES) {
            real weight = start + key < M ? exp(weights[query][key] - most) : real(0);
            weights[query][key] = weight;
            added += weight;
        }
        part[query][lane] = added;
        if (lane == 0) largest[query] = most, correction[query] = exp(before - most);
        __syncthreads();  // all weights are there
        if (lane == 0) {
            real more = 0;
            for (int other = 0; other < LANES; other++) more += part[query][other];
            total[query] = total[query] * correction[query] + more;
        }
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            real scaled = correction[row + i * SIDE];
#pragma unroll
            for (int j = 0; j < FEATURES; j++) sum[i][j] *= scaled;
        }
        for (int key = 0; key < KEYS; key++) {
#pragma unroll
            for (int i = 0; i < ROWS; i++)
#pragma unroll
                for (int j = 0; j < FEATURES; j++) {
                    int e = column + j * SIDE;
                    if (e < E) sum[i][j] += weights[row + i * SIDE][key] * values[key][e];
                }
        }
        __syncthreads();  // everyone is done with the tile
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int j = 0; j < FEATURES; j++) {
            int query = row + i * SIDE, e = column + j * SIDE;
            if (first + query < L && e < E) y[size_t(first + query) * E + e] = sum[i][j] / total[query];
        }
}
