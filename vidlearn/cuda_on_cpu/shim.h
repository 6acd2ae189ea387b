// What a CUDA kernel finds when it is compiled for the CPU: the names that nvcc knows, on top of runtime.cpp.
#pragma once
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
// the race detector sees the kernel's accesses, not the shim's
#define SHIM_UNSEEN __attribute__((no_sanitize("thread")))

// ---- vector types --------------------
#define SHIM_VECTORS(T, name)                                                                        \
    struct name##1 { typedef T scalar; T x; };                                                       \
    struct alignas(2 * sizeof(T)) name##2 { typedef T scalar; T x, y; };                             \
    struct name##3 { typedef T scalar; T x, y, z; };                                                 \
    struct alignas(sizeof(T) < 8 ? 4 * sizeof(T) : 16) name##4 { typedef T scalar; T x, y, z, w; };  \
    static inline name##1 make_##name##1(T x) { return {x}; }                                        \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                \
    static inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                        \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SHIM_VECTORS(signed char, char)
SHIM_VECTORS(unsigned char, uchar)
SHIM_VECTORS(short, short)
SHIM_VECTORS(unsigned short, ushort)
SHIM_VECTORS(int, int)
SHIM_VECTORS(unsigned, uint)
SHIM_VECTORS(float, float)
SHIM_VECTORS(double, double)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern const uint3 threadIdx, blockIdx;  // constant while one thread runs; runtime.cpp sets them between threads
extern const dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

// ---- what runtime.cpp provides --------------------
#define SHIM_REDZONE(name) alignas(16) char name[512]  // around __shared__ variables; poisoned for AddressSanitizer

namespace shim {
extern unsigned char* dynamic_shared;
void fresh(void* variable, size_t size, const char* name);  // a __shared__ variable: unwritten in each new block
void wait_block(int line);
void wait_warp(unsigned mask, int line, bool orders_memory);
void* slot(unsigned lane);  // 16 bytes through which the lanes of a warp exchange values
void atomic(const void* address, size_t size);
[[noreturn]] void stop(int line, const char* why);
const char* run(void (*thread)(void*), void* arguments, const unsigned* shape, size_t shared, bool barriers);

// ---- how Python calls a kernel, and learns its parameters' types --------------------
template <class T> struct scalar_of { typedef T type; };
template <class T> requires requires { typename T::scalar; } struct scalar_of<T> { typedef typename T::scalar type; };

template <class P> int describe(char* out) {  // "*r f4": pointer to constant float; "v i4": an int passed by value
    typedef std::remove_pointer_t<P> pointed;
    typedef typename scalar_of<std::remove_cv_t<pointed>>::type T;
    char kind = std::is_same_v<T, bool> ? 'b' : std::is_floating_point_v<T> ? 'f' : !std::is_integral_v<T> ? 'V'
                : std::is_signed_v<T> ? 'i' : 'u';
    int size = 1;
    if constexpr (!std::is_void_v<T>) size = sizeof(T);
    const char* passing = !std::is_pointer_v<P> ? "v" : std::is_const_v<pointed> ? "*r" : "*w";
    return sprintf(out, "%s %c%d,", passing, kind, size);
}
template <class... P> const char* signature(void (*)(P...)) {
    static char text[16 * sizeof...(P) + 1];
    char* out = text;
    ((out += describe<P>(out)), ...);
    return text;
}
template <class... P>
const char* launch(void (*kernel)(P...), const unsigned* shape, size_t shared, void** values, bool barriers) {
    struct Call { void (*kernel)(P...); void** values; } call{kernel, values};
    auto thread = [](void* p) {
        auto& c = *static_cast<Call*>(p);
        [&]<size_t... I>(std::index_sequence<I...>) {
            c.kernel(*static_cast<P*>(c.values[I])...);
        }(std::index_sequence_for<P...>{});
    };
    return run(thread, &call, shape, shared, barriers);
}
}  // namespace shim

// ---- synchronization and warps --------------------
#define __syncthreads() shim::wait_block(__LINE__)
#define __syncwarp(...) shim::wait_warp(0xffffffffu __VA_OPT__(& (__VA_ARGS__)), __LINE__, true)
#define __threadfence()
#define __threadfence_block()
#define assert(condition) ((condition) ? (void)0 : shim::stop(__LINE__, "assertion failed: " #condition))
#define __trap() shim::stop(__LINE__, "__trap() was reached")

namespace shim {
SHIM_UNSEEN inline unsigned lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}
template <class T> SHIM_UNSEEN T exchange(int line, unsigned mask, T value, int source) {
    static_assert(sizeof(T) <= 16);
    memcpy(slot(lane()), &value, sizeof value);
    wait_warp(mask, line, false);
    memcpy(&value, slot(source), sizeof value);
    wait_warp(mask, line, false);
    return value;
}
template <class T> T shfl(int line, unsigned mask, T v, int source, int width = 32) {
    return exchange(line, mask, v, (lane() & ~(width - 1)) | (source & (width - 1)));
}
template <class T> T shfl_up(int line, unsigned mask, T v, int by, int width = 32) {
    int at = lane(), first = at & ~(width - 1);
    return exchange(line, mask, v, at - by < first ? at : at - by);
}
template <class T> T shfl_down(int line, unsigned mask, T v, int by, int width = 32) {
    int at = lane(), last = at | (width - 1);
    return exchange(line, mask, v, at + by > last ? at : at + by);
}
template <class T> T shfl_xor(int line, unsigned mask, T v, int with, int width = 32) {
    int at = lane(), to = at ^ with;
    return exchange(line, mask, v, (to & ~(width - 1)) > (at & ~(width - 1)) ? at : to);
}
SHIM_UNSEEN inline unsigned ballot(int line, unsigned mask, bool vote) {
    unsigned votes = 0;
    int mine = vote, other;
    memset(slot(lane()), 0, 16);
    memcpy(slot(lane()), &mine, sizeof mine);
    wait_warp(mask, line, false);
    for (int i = 0; i < 32; i++) {
        memcpy(&other, slot(i), sizeof other);
        votes |= unsigned(other && (mask >> i & 1)) << i;
    }
    wait_warp(mask, line, false);
    return votes;
}
}  // namespace shim
#define __shfl_sync(...) shim::shfl(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) shim::shfl_up(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) shim::shfl_down(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) shim::shfl_xor(__LINE__, __VA_ARGS__)
#define __ballot_sync(mask, vote) shim::ballot(__LINE__, mask, vote)
#define __any_sync(mask, vote) (shim::ballot(__LINE__, mask, vote) != 0)
#define __all_sync(mask, vote) (shim::ballot(__LINE__, mask, !(vote)) == 0)

// ---- atomics: all CUDA threads share one CPU thread, so plain code is atomic --------------------
#define SHIM_ATOMIC(name, result)                                                      \
    template <class T> SHIM_UNSEEN T name(T* address, std::type_identity_t<T> value) { \
        shim::atomic(address, sizeof(T));                                              \
        T old = *address;                                                              \
        *address = result;                                                             \
        return old;                                                                    \
    }
SHIM_ATOMIC(atomicAdd, old + value)
SHIM_ATOMIC(atomicSub, old - value)
SHIM_ATOMIC(atomicExch, value)
SHIM_ATOMIC(atomicMin, value < old ? value : old)
SHIM_ATOMIC(atomicMax, value > old ? value : old)
SHIM_ATOMIC(atomicAnd, old & value)
SHIM_ATOMIC(atomicOr, old | value)
SHIM_ATOMIC(atomicXor, old ^ value)
SHIM_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
SHIM_ATOMIC(atomicDec, old == 0 || old > value ? value : old - 1)
template <class T> SHIM_UNSEEN T atomicCAS(T* address, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
    shim::atomic(address, sizeof(T));
    T old = *address;
    if (old == compare) *address = value;
    return old;
}

// ---- math: <math.h> has most of CUDA's; as in CUDA, min and max take mixed types and prefer a number to a NaN
template <class A, class B> constexpr std::common_type_t<A, B> min(A a, B b) {
    typedef std::common_type_t<A, B> T;
    if constexpr (std::is_floating_point_v<T>) return fmin(T(a), T(b));
    else return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B> constexpr std::common_type_t<A, B> max(A a, B b) {
    typedef std::common_type_t<A, B> T;
    if constexpr (std::is_floating_point_v<T>) return fmax(T(a), T(b));
    else return T(a) < T(b) ? T(b) : T(a);
}
template <class T> T __ldg(const T* p) { return *p; }
template <class To, class From> To shim_bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &value, sizeof to);
    return to;
}
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float rsqrt(float x) { return 1 / sqrtf(x); }
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0), 1); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1 / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float shim_expf(float x) { return expf(x); }
static inline float shim_logf(float x) { return logf(x); }
static inline float shim_sinf(float x) { return sinf(x); }
static inline float shim_cosf(float x) { return cosf(x); }
static inline float shim_powf(float x, float y) { return powf(x, y); }
#define __expf shim_expf  // the C library keeps these names for itself
#define __logf shim_logf
#define __sinf shim_sinf
#define __cosf shim_cosf
#define __powf shim_powf
static inline int __float2int_rn(float x) { return int(nearbyintf(x)); }
static inline int __float2int_rd(float x) { return int(floorf(x)); }
static inline int __float2int_rz(float x) { return int(x); }
static inline float __int2float_rn(int x) { return float(x); }
static inline int __float_as_int(float x) { return shim_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return shim_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return shim_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return shim_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return shim_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return shim_bits<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
