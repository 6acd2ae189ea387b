// One minimization of flow.dense (see dense_reference.py): warp, linear system, conjugate gradients. Fields are planes
// of height x width; flow, force, z, p and q are two planes, tensor three (xx, xy, yy).
//
// A pixel (float32), bytes and flops: warp 28 and 90; equations 56 and 250; and in each iteration direction 52 and 40,
// step 76 and 40, and two dot products of 16: 160 bytes an iteration. All memory bound. Floor on an H200 for the 960 x
// 540 pixels that quality="fast" solves at 1080p: 83 MB at 4.3 TB/s (copy, measured; datasheet 4.8) = 19 us an
// iteration.
// How it gets near: four launches an iteration where array operations need more than twenty; derivatives and weights
// are computed again from neighbors in the L1 cache rather than stored; the scalars stay on the device, so nothing
// waits.
#define PIXEL                                                                                           \
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;           \
    int i = y * width + x, n = width * height;                                                          \
    if (x >= width || y >= height) return;

// Keys' cubic convolution: the weights of the samples at -1, 0, 1, 2 for the point t in [0, 1)
__device__ void cubic(real t, real* weight) {
    real s = 1 - t, half = real(0.5), a = real(1.5), b = real(2.5);
    weight[0] = -half * t * s * s, weight[1] = 1 + t * t * (a * t - b);
    weight[2] = 1 + s * s * (a * s - b), weight[3] = -half * s * t * t;
}

// What I1, moved back by the flow, differs from I0; the mean of the two; and how far inside the frame it came from.
extern "C" __global__ void dense_warp(const real* I0, const real* I1, const real* flow, real* difference, real* mean,
                                      real* inside, int height, int width) {
    PIXEL
    real right = width - 1, bottom = height - 1, px = x + flow[i], py = y + flow[n + i];
    real beyond = max(abs(px - right / 2) - right / 2, abs(py - bottom / 2) - bottom / 2);
    inside[i] = min(max(1 - beyond, real(0)), real(1));
    px = min(max(px, real(0)), right), py = min(max(py, real(0)), bottom);
    int column = int(px), row = int(py);
    real across[4], along[4], warped = 0;
    cubic(px - column, across), cubic(py - row, along);
    for (int dy = 0; dy < 4; dy++)
        for (int dx = 0; dx < 4; dx++)
            warped += along[dy] * across[dx] * I1[clamp(row + dy - 1, height) * width + clamp(column + dx - 1, width)];
    difference[i] = warped - I0[i], mean[i] = (warped + I0[i]) / 2;
}

// The derivative [1 -8 0 8 -1]/12 of a function of one index, its ends repeated
template <class F> __device__ real slope(F value, int at, int n) {
    real near = value(clamp(at + 1, n)) - value(clamp(at - 1, n)), far = value(clamp(at + 2, n)) - value(clamp(at - 2, n));
    return (8 * near - far) / 12;
}
__device__ real slope_x(const real* image, int x, int y, int width) {
    return slope([=](int at) { return image[y * width + at]; }, x, width);
}
__device__ real slope_y(const real* image, int x, int y, int height, int width) {
    return slope([=](int at) { return image[at * width + x]; }, y, height);
}

// alpha / sqrt(|grad F|^2 + epsilon^2); |grad F|^2 is half of each of the squared differences to the four neighbors
__device__ real smoothness(const real* flow, int x, int y, int height, int width, real alpha, real epsilon) {
    real square = 0;
    for (const real* plane = flow; plane <= flow + height * width; plane += height * width) {
        real here = plane[y * width + x], left = here - plane[y * width + clamp(x - 1, width)];
        real right = here - plane[y * width + clamp(x + 1, width)], up = here - plane[clamp(y - 1, height) * width + x];
        real down = here - plane[clamp(y + 1, height) * width + x];
        square += (left * left + right * right + up * up + down * down) / 2;
    }
    return alpha / sqrt(square + epsilon * epsilon);
}

// The linear system at `flow`, with all differences linearized at `start`
extern "C" __global__ void dense_equations(const real* difference, const real* mean, const real* inside,
                                           const real* start, const real* flow, real* tensor, real* force, real* down,
                                           real* right, int height, int width, real alpha, real gamma, real epsilon_data,
                                           real epsilon_smooth) {
    PIXEL
    real mx = slope_x(mean, x, y, width), my = slope_y(mean, x, y, height, width);
    real mxx = slope([=](int at) { return slope_x(mean, at, y, width); }, x, width);
    real mxy = slope([=](int at) { return slope_x(mean, x, at, width); }, y, height);
    real myy = slope([=](int at) { return slope_y(mean, x, at, height, width); }, y, height);
    real du = flow[i] - start[i], dv = flow[n + i] - start[n + i];
    real r = difference[i] + mx * du + my * dv;
    real rx = slope_x(difference, x, y, width) + mxx * du + mxy * dv;
    real ry = slope_y(difference, x, y, height, width) + mxy * du + myy * dv;
    real brightness = inside[i] / sqrt(r * r + epsilon_data * epsilon_data);
    real gradients = gamma * inside[i] / sqrt(rx * rx + ry * ry + epsilon_data * epsilon_data);
    tensor[i] = brightness * mx * mx + gradients * (mxx * mxx + mxy * mxy);
    tensor[n + i] = brightness * mx * my + gradients * mxy * (mxx + myy);
    tensor[2 * n + i] = brightness * my * my + gradients * (mxy * mxy + myy * myy);
    real fu = -brightness * mx * r - gradients * (mxx * rx + mxy * ry);
    real fv = -brightness * my * r - gradients * (mxy * rx + myy * ry);
    real here = smoothness(flow, x, y, height, width, alpha, epsilon_smooth);
    for (int k = 0; k < 4; k++) {  // right, down, left, up
        int px = x + (k == 0) - (k == 2), py = y + (k == 1) - (k == 3), j = py * width + px;
        bool exists = px >= 0 && px < width && py >= 0 && py < height;
        real bond = exists ? (here + smoothness(flow, px, py, height, width, alpha, epsilon_smooth)) / 2 : real(0);
        if (exists) fu += bond * (flow[j] - flow[i]), fv += bond * (flow[n + j] - flow[n + i]);
        if (k == 0) right[i] = bond;
        if (k == 1) down[i] = bond;
    }
    force[i] = fu, force[n + i] = fv;
}

// The bonds to the four neighbors and where these are; a bond over the border is 0
struct Bonds { real bond[4]; int at[4]; };
__device__ Bonds bonds(const real* down, const real* right, int x, int y, int height, int width) {
    int i = y * width + x, left = x > 0 ? i - 1 : i, up = y > 0 ? i - width : i;
    return {{right[i], down[i], x > 0 ? right[left] : real(0), y > 0 ? down[up] : real(0)},
            {x + 1 < width ? i + 1 : i, y + 1 < height ? i + width : i, left, up}};
}

// The next direction p = z + beta p_before, and q = A p
extern "C" __global__ void dense_direction(const real* now, const real* before, const real* z, const real* p_before,
                                           const real* tensor, const real* down, const real* right, real* p, real* q,
                                           int height, int width, real tiny) {
    PIXEL
    real beta = *now / max(*before, tiny);
    Bonds b = bonds(down, right, x, y, height, width);
    real u = z[i] + beta * p_before[i], v = z[n + i] + beta * p_before[n + i];
    real qu = tensor[i] * u + tensor[n + i] * v, qv = tensor[n + i] * u + tensor[2 * n + i] * v;
    for (int k = 0; k < 4; k++) {
        int j = b.at[k];
        qu += b.bond[k] * (u - (z[j] + beta * p_before[j]));
        qv += b.bond[k] * (v - (z[n + j] + beta * p_before[n + j]));
    }
    p[i] = u, p[n + i] = v, q[i] = qu, q[n + i] = qv;
}

// A step along p; then z = the residual, preconditioned by each pixel's own 2 x 2 block
extern "C" __global__ void dense_step(const real* now, const real* pq, const real* p, const real* q, const real* tensor,
                                      const real* down, const real* right, real* flow, real* residual, real* z,
                                      int height, int width, real tiny) {
    PIXEL
    real length = *now / max(*pq, tiny);
    flow[i] += length * p[i], flow[n + i] += length * p[n + i];
    real ru = residual[i] - length * q[i], rv = residual[n + i] - length * q[n + i];
    Bonds b = bonds(down, right, x, y, height, width);
    real around = b.bond[0] + b.bond[1] + b.bond[2] + b.bond[3];
    real xx = tensor[i] + around, xy = tensor[n + i], yy = tensor[2 * n + i] + around;
    real det = max(xx * yy - xy * xy, tiny);
    residual[i] = ru, residual[n + i] = rv;
    z[i] = (yy * ru - xy * rv) / det, z[n + i] = (xx * rv - xy * ru) / det;
}
