// Runs the threads of a CUDA launch on one CPU thread, one after the other, in a fixed order.
//
// A kernel with barriers gives every thread of a block a stack of its own (a fiber): a thread runs until its next
// barrier, then the next one does; when all wait, the barrier opens. A kernel without barriers is a plain loop.
// With SHIM_RACES, the compiler reports every memory access of the kernel to the functions at the end of this file.
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <string>
#include <unordered_map>
#include <vector>

struct Index { unsigned x, y, z; };
Index threadIdx, blockIdx, blockDim, gridDim;  // shim.h declares them constant

namespace shim {
enum State { ready, at_block_barrier, at_warp_barrier, done };
struct Fiber {
    ucontext_t context;
    jmp_buf here;
    bool started;
    State state;
    int line;       // of the barrier at which it waits
    unsigned mask;  // the lanes that its warp barrier waits for
};
struct Shared { char* begin; size_t size; const char* name; };

unsigned char* dynamic_shared;
static size_t dynamic_size;
static char message[1024];
static std::vector<Fiber> fibers;
static std::vector<Shared> shared;  // the __shared__ variables that this block has reached
static unsigned char slots[1024][16];
static void (*kernel)(void*);
static void* arguments;
static unsigned current, phase, warp_phase[32];  // phase: how many barriers lie behind
static bool running;  // a fiber is; what happens outside is the launch's business, no kernel's
static jmp_buf scheduler;
static char* stacks;
static constexpr size_t stack_size = 256 << 10, max_threads = 1024, redzone = 512;  // shim.h: SHIM_REDZONE

static Index index_of(unsigned t) {
    return {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}
static std::string text_of(Index i) {
    return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + ")";
}
static void complain(const char* format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
}

// ---- switching: setjmp costs 20 times less than swapcontext, but AddressSanitizer follows only the latter
#ifdef __SANITIZE_ADDRESS__
static ucontext_t scheduler_context;
static void resume(Fiber& f) { swapcontext(&scheduler_context, &f.context); }
static void pause(Fiber& f) { swapcontext(&f.context, &scheduler_context); }
#else
static void resume(Fiber& f) {
    if (_setjmp(scheduler)) return;
    if (f.started) _longjmp(f.here, 1);
    f.started = true;
    setcontext(&f.context);
}
static void pause(Fiber& f) {
    if (!_setjmp(f.here)) _longjmp(scheduler, 1);
}
#endif

static void fiber_body() {
    for (;;) {  // one turn per block
        kernel(arguments);
        fibers[current].state = done;
        pause(fibers[current]);
    }
}

static void wait(State state, int line, unsigned mask) {
    Fiber& f = fibers[current];
    f.state = state, f.line = line, f.mask = mask;
    pause(f);
}
void wait_block(int line) { wait(at_block_barrier, line, 0); }
void wait_warp(unsigned mask, int line, bool orders_memory) {
    wait(at_warp_barrier, line, mask);
    if (orders_memory && current % 32 == unsigned(__builtin_ctz(mask))) warp_phase[current / 32]++;
}
void* slot(unsigned lane) { return slots[current / 32 * 32 + lane]; }

void stop(int line, const char* why) {
    complain("line %d: %s, in thread %s of block %s", line, why, text_of(threadIdx).c_str(),
             text_of(blockIdx).c_str());
#ifdef __SANITIZE_ADDRESS__
    fprintf(stderr, "shim-stop %s\n", message);
    _Exit(3);
#else
    _longjmp(scheduler, 2);
#endif
}

void fresh(void* variable, size_t size, const char* name) {
    for (auto& s : shared)
        if (s.begin == variable) return;
#ifdef __SANITIZE_ADDRESS__
    __asan_poison_memory_region(static_cast<char*>(variable) - redzone, redzone);
    __asan_poison_memory_region(static_cast<char*>(variable) + size, redzone);
#endif
    memset(variable, 0xff, size);  // NaN for float and double: memory that nobody wrote shows in the result
    shared.push_back({static_cast<char*>(variable), size, name});
}

// ---- the scheduler --------------------
static bool open_warp_barriers(unsigned threads) {
    bool opened = false;
    for (unsigned first = 0; first < threads; first += 32)
        for (unsigned t = first; t < first + 32 && t < threads; t++) {
            if (fibers[t].state != at_warp_barrier) continue;
            unsigned mask = fibers[t].mask;
            bool all_here = true;
            for (unsigned i = 0; i < 32 && first + i < threads; i++) {
                State s = fibers[first + i].state;
                all_here &= !(mask >> i & 1) || s == at_warp_barrier || s == done;
            }
            for (unsigned i = 0; all_here && i < 32 && first + i < threads; i++)
                if ((mask >> i & 1) && fibers[first + i].state == at_warp_barrier)
                    fibers[first + i].state = ready, opened = true;
        }
    return opened;
}

static bool open_block_barrier(unsigned threads) {  // false: a barrier that can never open
    Fiber* waiting = nullptr;
    unsigned left = 0, arrived = 0, odd = 0;
    for (unsigned t = 0; t < threads; t++) {
        Fiber& f = fibers[t];
        if (f.state == done) { left++, odd = t; continue; }
        if (!waiting) waiting = &f;
        if (f.state == waiting->state && f.line == waiting->line) { arrived++; continue; }
        complain("line %d: thread %s waits at a barrier here, while thread %s waits at the barrier of line %d; every "
                 "thread must reach the same one", f.line, text_of(index_of(t)).c_str(),
                 text_of(index_of(waiting - fibers.data())).c_str(), waiting->line);
        return false;
    }
    if (waiting->state == at_warp_barrier) {
        complain("line %d: a warp operation waits for lanes of its mask that never reach it", waiting->line);
        return false;
    }
    if (left) {
        complain("line %d: %u of %u threads reach this __syncthreads(); %u left the kernel before it (thread %s of "
                 "block %s for one). Let every thread reach the barrier: test the bounds around the work, "
                 "don't return early",
                 waiting->line, arrived, threads, left, text_of(index_of(odd)).c_str(), text_of(blockIdx).c_str());
        return false;
    }
    phase++;
    for (auto& f : fibers) f.state = ready;
    return true;
}

static bool run_block(unsigned threads) {
    for (auto& f : fibers) f.state = ready;
    for (;;) {
        unsigned finished = 0;
        for (current = 0; current < threads; current++) {
            Fiber& f = fibers[current];
            if (f.state == ready) {
                threadIdx = index_of(current);
                running = true;
                resume(f);
                running = false;
            }
            if (*message) return false;
            finished += f.state == done;
        }
        if (finished == threads) return true;
        if (!open_warp_barriers(threads) && !open_block_barrier(threads)) return false;
    }
}

static void make_fibers(unsigned threads) {
    if (!stacks)
        stacks = static_cast<char*>(mmap(nullptr, max_threads * stack_size, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    fibers.resize(threads);
    for (unsigned t = 0; t < threads; t++) {
        Fiber& f = fibers[t];
        getcontext(&f.context);
        f.started = false;
        f.context.uc_stack.ss_sp = stacks + t * stack_size;
        f.context.uc_stack.ss_size = stack_size;
        f.context.uc_link = nullptr;
        makecontext(&f.context, fiber_body, 0);
    }
}

static void forget_accesses();

const char* run(void (*thread)(void*), void* values, const unsigned* shape, size_t shared_size, bool barriers) {
    kernel = thread, arguments = values, *message = 0, phase = 0;
    gridDim = {shape[0], shape[1], shape[2]}, blockDim = {shape[3], shape[4], shape[5]};
    unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    std::vector<unsigned char> dynamic(shared_size);
    dynamic_shared = dynamic.data(), dynamic_size = shared_size;
#ifdef SHIM_RACES
    barriers = true;  // the detector tells a thread's own variables by the fibers' stacks
#endif
    if (barriers) make_fibers(threads);
    forget_accesses();
    for (unsigned bz = 0; bz < gridDim.z; bz++)
        for (unsigned by = 0; by < gridDim.y; by++)
            for (unsigned bx = 0; bx < gridDim.x; bx++) {
                blockIdx = {bx, by, bz};
                shared.clear();
                if (shared_size) memset(dynamic_shared, 0xff, shared_size);
                if (barriers) {
                    if (!run_block(threads)) return message;
                } else {
                    if (_setjmp(scheduler)) return message;  // stop() jumps here
                    for (unsigned t = 0; t < threads; t++) threadIdx = index_of(t), thread(values);
                }
            }
    fflush(stdout);
    return *message ? message : nullptr;
}

// ---- races --------------------
// Two accesses to one byte race if at least one writes, not both are atomic, and nothing orders them: they come from
// two threads of a block with no barrier between, or (global memory) from two blocks. GCC and Clang call the functions
// below at each access in code compiled with -fsanitize=thread; ThreadSanitizer's own library is not linked.
#ifdef SHIM_RACES
struct Access {
    uint64_t block = ~0ull;
    unsigned thread, phase, warp_phase;
    bool atomic;
    void* at;
};
struct Cell { Access write, reads[2]; };
static std::unordered_map<uintptr_t, Cell> cells;
static void forget_accesses() { cells.clear(); }

static const Shared* shared_at(const char* p) {
    static Shared dynamic;
    dynamic = {reinterpret_cast<char*>(dynamic_shared), dynamic_size, "extern array"};
    if (p >= dynamic.begin && p < dynamic.begin + dynamic.size) return &dynamic;
    for (auto& s : shared)
        if (p >= s.begin && p < s.begin + s.size) return &s;
    return nullptr;
}
static bool known(const Access& a) { return a.block != ~0ull; }
static bool race(const Access& a, const Access& b, bool is_shared) {
    if (!known(a) || (a.atomic && b.atomic)) return false;
    if (a.block != b.block) return !is_shared;
    if (a.thread == b.thread || a.phase != b.phase) return false;
    return a.thread / 32 != b.thread / 32 || a.warp_phase == b.warp_phase;
}
static std::string offset_of(void* at) {  // Python turns @…@ into a line
    Dl_info info;
    dladdr(at, &info);
    char text[32];
    snprintf(text, sizeof text, "@%zx@", size_t(static_cast<char*>(at) - static_cast<char*>(info.dli_fbase) - 1));
    return text;
}
static std::string who(const Access& a) {
    unsigned column = a.block % gridDim.x, rest = a.block / gridDim.x;
    Index b = {column, rest % gridDim.y, rest / gridDim.y};
    return "thread " + text_of(index_of(a.thread)) + " of block " + text_of(b);
}
static std::string what(const char* p, const Shared* s) {
    char text[32];
    snprintf(text, sizeof text, "#%zx#", size_t(p));  // Python turns #…# into an element of an argument
    return s ? std::string("__shared__ ") + s->name : text;
}
static void accessed(const char* p, size_t size, bool writes, bool atomic, void* at) {
    if (!running) return;
    if (p >= stacks && p < stacks + max_threads * stack_size) return;
    const Shared* s = shared_at(p);
    uint64_t block = blockIdx.x + uint64_t(gridDim.x) * (blockIdx.y + uint64_t(gridDim.y) * blockIdx.z);
    Access now{block, current, phase, warp_phase[current / 32], atomic, at};
    for (size_t i = 0; i < size; i++) {
        Cell& cell = cells[uintptr_t(p + i)];
        if (!writes && s && cell.write.block != block) {
            complain("line %s: %s reads %s before any thread of its block wrote it (a __syncthreads missing, or no "
                     "first value)", offset_of(at).c_str(), who(now).c_str(), what(p, s).c_str());
            return _longjmp(scheduler, 1);
        }
        const Access* other = race(cell.write, now, s) ? &cell.write : nullptr;
        if (writes)
            for (auto& r : cell.reads)
                if (!other && race(r, now, s)) other = &r;
        if (other) {
            complain("line %s: %s %s %s, which %s %s at line %s; %s", offset_of(at).c_str(), who(now).c_str(),
                     writes ? "writes" : "reads", what(p, s).c_str(), who(*other).c_str(),
                     other == &cell.write ? "writes" : "reads", offset_of(other->at).c_str(),
                     other->block == block ? "no barrier lies between (__syncthreads missing, or an atomic)"
                                           : "nothing orders two blocks (use an atomic, or one writer per element)");
            return _longjmp(scheduler, 1);
        }
        if (writes) cell.write = now;
        if (!writes || atomic) {
            Access& first = cell.reads[0];
            bool replace =
                !known(first) || (first.block == block && (first.thread == current || !race(first, now, true)));
            (replace ? first : cell.reads[1]) = now;
        }
    }
}
void atomic(const void* p, size_t size) {
    accessed(static_cast<const char*>(p), size, true, true, __builtin_return_address(0));
}

extern "C" {
#define SHIM_SEES(name, n, writes) \
    void __tsan_##name##n(void* p) { accessed(static_cast<char*>(p), n, writes, false, __builtin_return_address(0)); }
#define SHIM_SEES_ALL(n)                                \
    SHIM_SEES(read, n, false) SHIM_SEES(write, n, true) \
    SHIM_SEES(unaligned_read, n, false) SHIM_SEES(unaligned_write, n, true)
SHIM_SEES_ALL(1) SHIM_SEES_ALL(2) SHIM_SEES_ALL(4) SHIM_SEES_ALL(8) SHIM_SEES_ALL(16)
void __tsan_read_range(void* p, size_t n) {
    accessed(static_cast<char*>(p), n, false, false, __builtin_return_address(0));
}
void __tsan_write_range(void* p, size_t n) {
    accessed(static_cast<char*>(p), n, true, false, __builtin_return_address(0));
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
}
#else
static void forget_accesses() {}
void atomic(const void*, size_t) {}
#endif
}  // namespace shim

// ---- a program of its own, for AddressSanitizer --------------------
// Python writes the launch to a file and reads the arrays back from it, so that a crash ends this process, not
// Python's.
#ifdef __SANITIZE_ADDRESS__
extern "C" const char* shim_launch(const unsigned* shape, size_t shared, void** values);
extern "C" __attribute__((visibility("default"))) void __asan_on_error() {
    using namespace shim;
    const char* at = static_cast<char*>(__asan_get_report_address());
    fprintf(stderr, "shim-thread thread %s of block %s\n", text_of(threadIdx).c_str(), text_of(blockIdx).c_str());
    shared.push_back({reinterpret_cast<char*>(dynamic_shared), dynamic_size, "extern array"});
    for (auto& s : shared)
        if (s.size && at >= s.begin - redzone && at < s.begin + s.size + redzone)
            fprintf(stderr, "shim-shared %s (%zu bytes)\n", s.name, s.size);
}
extern "C" const char* shim_signature();
int main(int count, char** argv) {
    if (count == 1) return puts(shim_signature()) < 0;
    struct { uint32_t shape[6]; uint64_t shared, count; } head;
    struct Value { uint64_t size, is_array; void* data; };
    FILE* file = fopen(argv[1], "r+b");
    if (!file || fread(&head, sizeof head, 1, file) != 1) return 2;
    std::vector<Value> all(head.count);
    std::vector<void*> pointers;
    for (auto& v : all) {
        if (fread(&v, 16, 1, file) != 1) return 2;
        v.data = malloc(v.size);
        if (fread(v.data, 1, v.size, file) != v.size) return 2;
        if (v.is_array) fprintf(stderr, "shim-array %zu %zu\n", size_t(&v - all.data()), size_t(v.data));
    }
    for (auto& v : all) pointers.push_back(v.is_array ? &v.data : v.data);
    if (const char* why = shim_launch(head.shape, head.shared, pointers.data())) {
        fprintf(stderr, "shim-stop %s\n", why);
        return 3;
    }
    rewind(file);
    for (auto& v : all)
        if (v.is_array) fwrite(v.data, 1, v.size, file);
    return fclose(file);
}
#endif
