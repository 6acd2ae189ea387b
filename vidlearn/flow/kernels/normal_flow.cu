// (u, v) = -It (Ix, Iy) / |grad I|^2: the first kernel to read. One thread a pixel, nothing shared.
//
// A pixel: 12 bytes read, 8 written (float32); 3 multiplications, 1 division, 2 multiplications, 1 addition.
// Memory bound. Floor on an H200 at 1920 x 1080: 41.5 MB at 4.3 TB/s (copy, measured; datasheet 4.8) = 9.6 us.
// How it gets there: neighboring threads touch neighboring addresses, so each warp moves whole 128-byte lines, and (u,
// v) leaves as one 8-byte store.
extern "C" __global__ void normal_flow(const real* Ix, const real* Iy, const real* It, real2* flow, int pixels) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= pixels) return;
    real x = Ix[i], y = Iy[i], squared = x * x + y * y;
    real speed = squared == 0 ? 0 : -It[i] / squared;
    flow[i] = squared == 0 ? pair(0, 0) : pair(speed * x, speed * y);
}
