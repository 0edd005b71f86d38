// The functions of libcuda.so.1, after the reference of the CUDA Driver API 12.2.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include "block.h"
#include "fault.h"
#include "memory.h"
#include "random.h"
#include "settings.h"
#include "streams.h"

using namespace emulated;

#define API extern "C" __attribute__((visibility("default"))) Result

typedef uint64_t Address;

static std::mutex lock;
static bool initialised;
static int retained;
// The one context there is; its address is the handle. The same for modules.
static char primary_context, only_module;
static thread_local void *context;
static bool gone;

// Those of `waits` are in which the host waits for the GPU.
struct Counts {
    uint64_t launches, copies, fills, allocations, waits;
};
static Counts counts;

static void start() {
    static bool started = [] {
        seed_random(settings().seed);
        return true;
    }();
    (void)started;
}

// Whoever made the mistake hears of it, or the process ends.
static Result complain(Result result, const std::string &why) {
    fprintf(stderr, "emulated GPU: %s\n", why.c_str());
    if (!settings().report_faults) abort();
    break_context(result, why);
    return result;
}

static Result ready() {
    start();
    if (!initialised) return NOT_INITIALIZED;
    return SUCCESS;
}

// What most functions ask first.
static Result usable() {
    if (Result result = ready()) return result;
    if (context == nullptr || retained == 0) return INVALID_CONTEXT;
    return broken();
}

#define ENTER(check)                          \
    std::lock_guard<std::mutex> guard(lock);  \
    if (Result result = check()) return result

API cuInit(unsigned flags) {
    std::lock_guard<std::mutex> guard(lock);
    start();
    if (flags != 0) return INVALID_VALUE;
    if (settings().devices == 0) return NO_DEVICE;
    initialised = true;
    return SUCCESS;
}

API cuDriverGetVersion(int *version) {
    *version = settings().cuda_version;
    return SUCCESS;
}

API cuGetErrorString(unsigned code, const char **text) {
    switch (code) {
        case SUCCESS: *text = "no error"; break;
        case INVALID_VALUE: *text = "invalid argument"; break;
        case OUT_OF_MEMORY: *text = "out of memory"; break;
        case NOT_INITIALIZED: *text = "initialization error"; break;
        case NO_DEVICE: *text = "no CUDA-capable device is detected"; break;
        case INVALID_DEVICE: *text = "invalid device ordinal"; break;
        case INVALID_CONTEXT: *text = "invalid device context"; break;
        case NO_BINARY_FOR_GPU: *text = "no kernel image is available for execution on the device"; break;
        case INVALID_HANDLE: *text = "invalid resource handle"; break;
        case NOT_FOUND: *text = "named symbol not found"; break;
        case NOT_READY: *text = "device not ready"; break;
        case ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
        case LAUNCH_OUT_OF_RESOURCES: *text = "too many resources requested for launch"; break;
        case LAUNCH_FAILED: *text = "unspecified launch failure"; break;
        case UNKNOWN: *text = "unknown error"; break;
        default: *text = nullptr; return INVALID_VALUE;
    }
    return SUCCESS;
}

API cuDeviceGetCount(int *count) {
    ENTER(ready);
    *count = settings().devices;
    return SUCCESS;
}

API cuDeviceGet(int *device, int ordinal) {
    ENTER(ready);
    if (ordinal < 0 || ordinal >= settings().devices) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

API cuDeviceGetName(char *name, int length, int) {
    ENTER(ready);
    snprintf(name, static_cast<size_t>(length), "%s", settings().name.c_str());
    return SUCCESS;
}

// The same as that of NVML, which counts devices in the other order.
API cuDeviceGetUuid_v2(char *uuid, int device) {
    ENTER(ready);
    if (device < 0 || device >= settings().devices) return INVALID_DEVICE;
    memset(uuid, 0xab, 16);
    uuid[15] = static_cast<char>(device);
    return SUCCESS;
}

API cuDeviceGetAttribute(int *value, int attribute, int) {
    ENTER(ready);
    switch (attribute) {
        case 1: *value = 1024; break;              // MAX_THREADS_PER_BLOCK
        case 8: *value = 48 << 10; break;          // MAX_SHARED_MEMORY_PER_BLOCK
        case 10: *value = 32; break;               // WARP_SIZE
        case 16: *value = 8; break;                // MULTIPROCESSOR_COUNT
        case 75: *value = settings().major; break; // COMPUTE_CAPABILITY_MAJOR
        case 76: *value = settings().minor; break; // COMPUTE_CAPABILITY_MINOR
        default: return INVALID_VALUE;
    }
    return SUCCESS;
}

API cuDeviceTotalMem_v2(size_t *bytes, int) {
    ENTER(ready);
    *bytes = settings().vram;
    return SUCCESS;
}

API cuDevicePrimaryCtxRetain(void **out, int device) {
    ENTER(ready);
    if (device != 0) return INVALID_DEVICE;
    if (gone) return UNKNOWN;
    if (retained == 0) {
        if (used_vram() + settings().context > settings().vram) return OUT_OF_MEMORY;
        hold_context(true);
    }
    retained++;
    *out = &primary_context;
    return SUCCESS;
}

API cuDevicePrimaryCtxRelease_v2(int) {
    ENTER(ready);
    if (retained == 0) return INVALID_CONTEXT;
    if (--retained > 0) return SUCCESS;
    if (broken() == SUCCESS) finish_everything();
    drop_everything();
    release_everything();
    hold_context(false);
    return SUCCESS;
}

API cuCtxSetCurrent(void *given) {
    ENTER(ready);
    if (given != nullptr && given != &primary_context) return INVALID_CONTEXT;
    context = given;
    return SUCCESS;
}

API cuCtxGetCurrent(void **out) {
    ENTER(ready);
    *out = context;
    return SUCCESS;
}

API cuMemGetInfo_v2(size_t *free, size_t *total) {
    ENTER(usable);
    uint64_t used = used_vram();
    *total = settings().vram;
    *free = used < settings().vram ? settings().vram - used : 0;
    return SUCCESS;
}

API cuMemAlloc_v2(Address *out, size_t bytes) {
    ENTER(usable);
    if (bytes == 0) return INVALID_VALUE;
    uint64_t n = ++counts.allocations;
    bool full = n == settings().fail.allocation || (settings().full_from != 0 && n >= settings().full_from);
    void *at = full ? nullptr : allocate(bytes);
    *out = reinterpret_cast<Address>(at);
    return at ? SUCCESS : OUT_OF_MEMORY;
}

// Like the real one it waits for all work.
API cuMemFree_v2(Address at) {
    ENTER(usable);
    if (at == 0) return SUCCESS;
    finish_everything();
    if (broken() != SUCCESS) return broken();
    return release(reinterpret_cast<void *>(at)) ? SUCCESS : complain(INVALID_VALUE, "cuMemFree: not an allocation: " + describe_address(reinterpret_cast<void *>(at)));
}

API cuMemHostAlloc(void **out, size_t bytes, unsigned) {
    ENTER(usable);
    *out = bytes == 0 ? nullptr : allocate_pinned(bytes);
    return *out ? SUCCESS : OUT_OF_MEMORY;
}

API cuMemFreeHost(void *at) {
    ENTER(usable);
    if (is_pinned(at, 1) && is_in_use(at, 1)) return complain(INVALID_VALUE, "cuMemFreeHost: a copy that was queued still needs this memory");
    return release_pinned(at) ? SUCCESS : complain(INVALID_VALUE, "cuMemFreeHost: not pinned memory");
}

// Counts a piece of work at the time that it is done, and tells if it is to fail.
static Result fate(uint64_t &count, uint64_t fails, uint64_t lost) {
    count++;
    if (count == lost) gone = true;
    if (gone) return UNKNOWN;
    return count == fails ? LAUNCH_FAILED : SUCCESS;
}

static Result copy(void *to, const void *from, size_t bytes) {
    if (Result result = fate(counts.copies, settings().fail.copy, settings().lost.copy)) return result;
    memmove(to, from, bytes);
    return SUCCESS;
}

static Result outside(const char *call, Address at, size_t bytes) {
    return complain(INVALID_VALUE, std::string(call) + ": " + std::to_string(bytes) + " bytes from " + describe_address(reinterpret_cast<void *>(at)));
}

#define INSIDE(call, address, bytes) \
    if (!is_allocated(reinterpret_cast<void *>(address), bytes)) return outside(call, address, bytes)

API cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, Stream *stream) {
    ENTER(usable);
    if (!is_stream(stream)) return INVALID_HANDLE;
    INSIDE("cuMemcpyHtoDAsync", to, bytes);
    void *target = reinterpret_cast<void *>(to);
    if (is_pinned(from, bytes)) {
        enqueue(stream, [=] { return copy(target, from, bytes); }, from, bytes);
    } else {
        // From other memory it is read before the call returns.
        auto first = static_cast<const char *>(from);
        auto staged = std::make_shared<std::vector<char>>(first, first + bytes);
        enqueue(stream, [=] { return copy(target, staged->data(), bytes); });
    }
    return SUCCESS;
}

API cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, Stream *stream) {
    ENTER(usable);
    if (!is_stream(stream)) return INVALID_HANDLE;
    INSIDE("cuMemcpyDtoHAsync", from, bytes);
    const void *source = reinterpret_cast<const void *>(from);
    enqueue(stream, [=] { return copy(to, source, bytes); }, to, bytes);
    // To other memory than pinned it is done when the call returns.
    if (!is_pinned(to, bytes)) finish(stream);
    return broken();
}

API cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Stream *stream) {
    ENTER(usable);
    if (!is_stream(stream)) return INVALID_HANDLE;
    INSIDE("cuMemcpyDtoDAsync", to, bytes);
    INSIDE("cuMemcpyDtoDAsync", from, bytes);
    if (to < from + bytes && from < to + bytes) return complain(INVALID_VALUE, "cuMemcpyDtoDAsync: the ranges overlap");
    enqueue(stream, [=] { return copy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes); });
    return SUCCESS;
}

API cuMemsetD8Async(Address at, unsigned char value, size_t bytes, Stream *stream) {
    ENTER(usable);
    if (!is_stream(stream)) return INVALID_HANDLE;
    INSIDE("cuMemsetD8Async", at, bytes);
    enqueue(stream, [=] {
        counts.fills++;
        memset(reinterpret_cast<void *>(at), value, bytes);
        return SUCCESS;
    });
    return SUCCESS;
}

API cuStreamCreate(Stream **out, unsigned flags) {
    ENTER(usable);
    if (flags > 1) return INVALID_VALUE;
    *out = create_stream(flags == 0);
    return SUCCESS;
}

API cuStreamDestroy_v2(Stream *stream) {
    ENTER(usable);
    if (stream == nullptr || !is_stream(stream)) return INVALID_HANDLE;
    destroy_stream(stream);
    return SUCCESS;
}

API cuStreamSynchronize(Stream *stream) {
    ENTER(usable);
    if (!is_stream(stream)) return INVALID_HANDLE;
    counts.waits++;
    finish(stream);
    return broken();
}

API cuStreamQuery(Stream *stream) {
    ENTER(usable);
    if (!is_stream(stream)) return INVALID_HANDLE;
    bool done = is_done(stream);
    return broken() != SUCCESS ? broken() : done ? SUCCESS : NOT_READY;
}

API cuStreamWaitEvent(Stream *stream, Event *event, unsigned flags) {
    ENTER(usable);
    if (!is_stream(stream) || !is_event(event)) return INVALID_HANDLE;
    if (flags != 0) return INVALID_VALUE;
    wait_for(stream, event);
    return SUCCESS;
}

API cuEventCreate(Event **out, unsigned) {
    ENTER(usable);
    *out = create_event();
    return SUCCESS;
}

API cuEventDestroy_v2(Event *event) {
    ENTER(usable);
    if (!is_event(event)) return INVALID_HANDLE;
    destroy_event(event);
    return SUCCESS;
}

API cuEventRecord(Event *event, Stream *stream) {
    ENTER(usable);
    if (!is_event(event) || !is_stream(stream)) return INVALID_HANDLE;
    record(event, stream);
    return SUCCESS;
}

API cuEventQuery(Event *event) {
    ENTER(usable);
    if (!is_event(event)) return INVALID_HANDLE;
    bool done = is_done(event);
    return broken() != SUCCESS ? broken() : done ? SUCCESS : NOT_READY;
}

API cuEventSynchronize(Event *event) {
    ENTER(usable);
    if (!is_event(event)) return INVALID_HANDLE;
    counts.waits++;
    finish(event);
    return broken();
}

// Whatever the image holds: the kernels are those compiled into this library.
API cuModuleLoadData(void **out, const void *image) {
    ENTER(usable);
    if (image == nullptr) return INVALID_VALUE;
    if (settings().image_error != 0) return static_cast<Result>(settings().image_error);
    *out = &only_module;
    return SUCCESS;
}

API cuModuleUnload(void *module) {
    ENTER(usable);
    return module == &only_module ? SUCCESS : INVALID_HANDLE;
}

API cuModuleGetFunction(const Kernel **out, void *module, const char *name) {
    ENTER(usable);
    if (module != &only_module) return INVALID_HANDLE;
    *out = find_kernel(name);
    return *out ? SUCCESS : NOT_FOUND;
}

// Runs a kernel and then spoils every word that it has changed.
static std::string run_badly(const Kernel &kernel, dim3 grid, dim3 threads, const std::function<void()> &body) {
    std::vector<std::vector<char>> before;
    each_allocation([&](char *at, size_t bytes) { before.emplace_back(at, at + bytes); });
    std::string failure = run_grid(kernel, grid, threads, body);
    size_t index = 0;
    each_allocation([&](char *at, size_t bytes) {
        const std::vector<char> &old = before[index++];
        for (size_t i = 0; i + 4 <= bytes; i += 4) {
            if (memcmp(at + i, old.data() + i, 4) == 0) continue;
            uint32_t word = static_cast<uint32_t>(random_bits());
            memcpy(at + i, &word, 4);
        }
    });
    return failure;
}

static Result run_kernel(const Kernel &kernel, dim3 grid, dim3 threads, const std::function<void()> &body) {
    if (Result result = fate(counts.launches, settings().fail.launch, settings().lost.launch)) return result;
    const std::string &bad = settings().garbage;
    bool spoil = bad == "*" || bad == kernel.name;
    std::string failure = spoil ? run_badly(kernel, grid, threads, body) : run_grid(kernel, grid, threads, body);
    return failure.empty() ? SUCCESS : complain(ILLEGAL_ADDRESS, failure);
}

API cuLaunchKernel(const Kernel *kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared_bytes, Stream *stream, void **arguments, void **extra) {
    ENTER(usable);
    if (kernel == nullptr || !is_stream(stream)) return INVALID_HANDLE;
    dim3 grid(grid_x, grid_y, grid_z), threads(block_x, block_y, block_z);
    if (grid.count() == 0 || grid_x > 0x7fffffffu || grid_y > 65535 || grid_z > 65535) return INVALID_VALUE;
    if (threads.count() == 0 || threads.count() > 1024 || block_z > 64) return INVALID_VALUE;
    if (kernel->most_threads != 0 && threads.count() > kernel->most_threads) {
        fprintf(stderr, "emulated GPU: %s is made for %u threads, not for %u\n", kernel->name, kernel->most_threads, static_cast<unsigned>(threads.count()));
        return LAUNCH_OUT_OF_RESOURCES;
    }
    if (shared_bytes != 0 || extra != nullptr) return complain(INVALID_VALUE, "cuLaunchKernel: dynamic shared memory and `extra` are not imitated");
    std::function<void()> body = kernel->bind(arguments);
    enqueue(stream, [=] { return run_kernel(*kernel, grid, threads, body); });
    return SUCCESS;
}

// For tests. `text` replaces all settings, and counting begins anew; with `fresh` the
// GPU is as after switching on the machine.
extern "C" __attribute__((visibility("default"))) int moestro_emulator_configure(const char *text, int fresh) {
    std::lock_guard<std::mutex> guard(lock);
    Settings changed;
    std::string bad = parse_settings(text, changed);
    if (!bad.empty()) {
        fprintf(stderr, "emulated GPU: \"%s\" is not understood\n", bad.c_str());
        return 1;
    }
    start();
    change_settings(changed);
    seed_random(changed.seed);
    counts = {};
    gone = false;
    if (fresh) {
        initialised = false;
        retained = 0;
        drop_everything();
        release_everything();
        hold_context(false);
    }
    return 0;
}

extern "C" __attribute__((visibility("default"))) uint64_t moestro_emulator_count(const char *what) {
    std::lock_guard<std::mutex> guard(lock);
    std::string name = what;
    if (name == "launches") return counts.launches;
    if (name == "copies") return counts.copies;
    if (name == "fills") return counts.fills;
    if (name == "waits") return counts.waits;
    if (name == "allocations") return counts.allocations;
    if (name == "pending") return pending();
    if (name == "used") return used_vram();
    abort();
}

// Why the context is broken, if a kernel was: what `report_faults` reports.
extern "C" __attribute__((visibility("default"))) void moestro_emulator_fault(char *text, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    snprintf(text, bytes, "%s", why_broken().c_str());
}

// For the stand-in of NVML, which counts the same memory.
extern "C" __attribute__((visibility("default"))) const Settings *moestro_emulator_settings() { return &settings(); }
extern "C" __attribute__((visibility("default"))) uint64_t moestro_emulator_used(uint32_t process) {
    std::lock_guard<std::mutex> guard(lock);
    return process == 0 ? used_vram() : used_by(process);
}
extern "C" __attribute__((visibility("default"))) uint32_t moestro_emulator_process(size_t *index) {
    std::lock_guard<std::mutex> guard(lock);
    return process_with_vram(*index);
}
