// out(x, y) = I(x + u, y + v), bilinear, the border repeated, NaN where the flow is NaN. One thread a pixel and color.
//
// A pixel (gray, float32): 8 bytes of flow and 4 of image read, 4 written; about 15 flops. Memory bound.
// Floor on an H200 at 1920 x 1080: 33.2 MB at 4.3 TB/s (copy, measured; datasheet 4.8) = 7.7 us.
// How it gets near: real flow is smooth, so the four neighbors that a warp of threads fetches share cache lines, and
// each line comes from memory about once. (A texture would interpolate for free, but only to 1/256 pixel.)
extern "C" __global__ void warp(const real* image, const real2* flow, real* out, int height, int width, int channels) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= height * width * channels) return;
    int pixel = i / channels, x = pixel % width, y = pixel / width;
    real2 uv = flow[pixel];
    out[i] = sample(image, x + uv.x, y + uv.y, height, width, channels, i % channels);
}
