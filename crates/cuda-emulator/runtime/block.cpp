#include "block.h"

#include <cstring>
#include <map>
#include <vector>

#include "fault.h"
#include "fiber.h"
#include "random.h"

// Bounds of the section of all __shared__ variables. Without kernels there is none.
extern "C" char __start_shared_memory[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_shared_memory[] __attribute__((weak, visibility("hidden")));

namespace emulated {

Fiber *current;
Block block;

static Fiber fibers[MOST_THREADS];
static unsigned thread_count;
static void *scheduler;
static const std::function<void()> *running_body;
static const Kernel *running_kernel;
static std::string failure;

static std::map<std::string, const Kernel *> &kernels() {
    static std::map<std::string, const Kernel *> all;
    return all;
}

Kernel::Kernel(const char *name, unsigned most_threads, std::function<void()> (*bind)(void **))
    : name(name), most_threads(most_threads), bind(bind) {
    kernels()[name] = this;
}

const Kernel *find_kernel(const char *name) {
    auto found = kernels().find(name);
    return found == kernels().end() ? nullptr : found->second;
}

static std::string triple(uint3 at) {
    return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + ")";
}

static std::string where(const Fiber &fiber) {
    return "thread " + triple(fiber.thread) + " of block " + triple(block.index);
}

static std::string where(Place place) {
    return std::string(place.file) + ":" + std::to_string(place.line);
}

std::string running_thread() {
    if (running_kernel == nullptr || current == nullptr) return "";
    std::string last = current->place.file ? ", last met others at " + where(current->place) : "";
    return std::string("kernel ") + running_kernel->name + ", " + where(*current) + last;
}

// From a fiber or from a signal's handler: what is left of the fibers is dropped.
void leave_kernel(const std::string &why) {
    failure = why;
    void *dropped;
    go_to(&dropped, scheduler);
    __builtin_unreachable();
}

static void fiber_main() {
    (*running_body)();
    current->state = State::done;
    go_to(&current->stack_pointer, scheduler);
    __builtin_unreachable();
}

static void wait_as(State state) {
    current->state = state;
    go_to(&current->stack_pointer, scheduler);
}

unsigned meet_block(bool predicate, Place place) {
    current->place = place;
    current->given = predicate;
    wait_as(State::at_block);
    return static_cast<unsigned>(current->received);
}

uint64_t meet_warp(unsigned mask, Meeting meeting, uint64_t given, unsigned source, Place place) {
    current->place = place;
    current->mask = mask;
    current->meeting = meeting;
    current->given = given;
    current->source = source;
    if ((mask >> current->lane & 1u) == 0) leave_kernel("a thread is not in its own mask at " + where(place) + ": " + running_thread());
    wait_as(State::at_warp);
    return current->received;
}

static void run(Fiber &fiber) {
    current = &fiber;
    go_to(&scheduler, fiber.stack_pointer);
    current = nullptr;
}

static const char *doing(const Fiber &fiber) {
    switch (fiber.state) {
        case State::done: return "has left the kernel";
        case State::at_block: return "waits for the block";
        case State::at_warp: return "waits for its warp";
        default: return "runs";
    }
}

static std::string apart(const Fiber &waiting, const Fiber *missing) {
    std::string what = std::string("kernel ") + running_kernel->name + ": " + where(waiting) + " " + doing(waiting) + " at " + where(waiting.place) + ", but ";
    if (missing == nullptr) return what + "the lane it waits for does not exist";
    what += where(*missing) + " " + doing(*missing);
    if (missing->state != State::done) what += " at " + where(missing->place);
    return what;
}

// Lets go on those lanes of a warp that have met. False: nobody could.
static bool resolve_warp(Fiber *warp, unsigned lanes) {
    bool any = false;
    for (unsigned i = 0; i < lanes; i++) {
        Fiber &first = warp[i];
        if (first.state != State::at_warp) continue;
        bool met = true;
        uint64_t ballot = 0;
        for (unsigned j = 0; j < 32 && met; j++) {
            if ((first.mask >> j & 1u) == 0) continue;
            if (j >= lanes) {
                failure = apart(first, nullptr);
                return false;
            }
            const Fiber &other = warp[j];
            bool together = other.state == State::at_warp && other.mask == first.mask && other.meeting == first.meeting;
            if (other.state == State::done || (other.state == State::at_warp && !together)) {
                failure = apart(first, &other);
                return false;
            }
            met = together;
            ballot |= (other.given & 1u) << j;
        }
        if (!met) continue;
        for (unsigned j = 0; j < 32; j++) {
            if ((first.mask >> j & 1u) == 0) continue;
            Fiber &other = warp[j];
            if (other.meeting == Meeting::ballot) other.received = ballot;
            if (other.meeting != Meeting::shuffle) continue;
            if (other.source >= lanes || (first.mask >> other.source & 1u) == 0) {
                failure = std::string("kernel ") + running_kernel->name + ": " + where(other) + " reads from lane " +
                          std::to_string(other.source) + ", which does not take part, at " + where(other.place);
                return false;
            }
            other.received = warp[other.source].given;
        }
        unsigned mask = first.mask;
        for (unsigned j = 0; j < 32; j++) {
            if (mask >> j & 1u) warp[j].state = State::ready;
        }
        any = true;
    }
    return any;
}

// Runs the threads of a warp until each has left or waits for the block.
static void run_warp(Fiber *warp, unsigned lanes) {
    for (;;) {
        unsigned start = random_below(32), step = 2 * random_below(16) + 1;
        for (unsigned i = 0; i < 32; i++) {
            unsigned lane = (start + i * step) % 32;
            if (lane < lanes && warp[lane].state == State::ready) run(warp[lane]);
            if (!failure.empty()) return;
        }
        if (!resolve_warp(warp, lanes)) break;
    }
    if (!failure.empty()) return;
    for (unsigned i = 0; i < lanes; i++) {
        if (warp[i].state != State::at_warp) continue;
        for (unsigned j = 0; j < lanes; j++) {
            bool missing = (warp[i].mask >> j & 1u) != 0 && warp[j].state != State::at_warp;
            if (missing) failure = apart(warp[i], &warp[j]);
        }
        if (failure.empty()) failure = apart(warp[i], nullptr);
        return;
    }
}

// Lets the block go on if all of it waits. False: it is over.
static bool resolve_block() {
    unsigned waiting = 0, predicates = 0;
    const Fiber *left = nullptr, *waits = nullptr;
    for (unsigned i = 0; i < thread_count; i++) {
        if (fibers[i].state == State::done) {
            left = &fibers[i];
        } else {
            waits = &fibers[i];
            predicates += static_cast<unsigned>(fibers[i].given);
            waiting++;
        }
    }
    if (waiting == 0) return false;
    if (left != nullptr) {
        failure = apart(*waits, left);
        return false;
    }
    for (unsigned i = 0; i < thread_count; i++) {
        const Fiber &fiber = fibers[i];
        if (fiber.place.line != waits->place.line || strcmp(fiber.place.file, waits->place.file) != 0) {
            failure = apart(fiber, waits);
            return false;
        }
    }
    for (unsigned i = 0; i < thread_count; i++) {
        fibers[i].received = predicates;
        fibers[i].state = State::ready;
    }
    return true;
}

static void run_block() {
    unsigned i = 0;
    for (unsigned z = 0; z < block.threads.z; z++) {
        for (unsigned y = 0; y < block.threads.y; y++) {
            for (unsigned x = 0; x < block.threads.x; x++, i++) {
                Fiber &fiber = fibers[i];
                fiber.thread = {x, y, z};
                fiber.lane = i % 32;
                fiber.state = State::ready;
                fiber.place = {nullptr, 0};
                fiber.stack_pointer = fresh_stack(i, fiber_main);
            }
        }
    }
    thread_count = i;
    unsigned warps = (thread_count + 31) / 32;
    unsigned order[MOST_THREADS / 32];
    do {
        for (unsigned w = 0; w < warps; w++) {
            unsigned other = random_below(w + 1);
            order[w] = order[other];
            order[other] = w;
        }
        for (unsigned w = 0; w < warps; w++) {
            unsigned first = order[w] * 32;
            run_warp(fibers + first, thread_count - first < 32 ? thread_count - first : 32);
            if (!failure.empty()) return;
        }
    } while (resolve_block());
}

// __shared__ memory is NaN before every block. All kernels have theirs in one
// section; only what the first block wrote is filled again for the others.
struct Range {
    char *from;
    size_t bytes;
};

static std::vector<Range> clean_shared() {
    constexpr size_t LINE = 64;
    static char untouched[LINE];
    std::vector<Range> written;
    if (__start_shared_memory == nullptr) return written;
    memset(untouched, 0xff, LINE);
    for (char *at = __start_shared_memory; at < __stop_shared_memory; at += LINE) {
        size_t bytes = static_cast<size_t>(__stop_shared_memory - at) < LINE ? static_cast<size_t>(__stop_shared_memory - at) : LINE;
        if (memcmp(at, untouched, bytes) == 0) continue;
        memset(at, 0xff, bytes);
        if (!written.empty() && written.back().from + written.back().bytes == at) {
            written.back().bytes += bytes;
        } else {
            written.push_back({at, bytes});
        }
    }
    return written;
}

std::string run_grid(const Kernel &kernel, dim3 grid, dim3 threads, const std::function<void()> &body) {
    failure.clear();
    running_kernel = &kernel;
    running_body = &body;
    block.grid = grid;
    block.threads = threads;
    clean_shared();
    uint64_t count = grid.count();
    uint64_t start = random_below(count), step = coprime_below(count);
    std::vector<Range> written;
    watch_faults(true);
    for (uint64_t i = 0; i < count && failure.empty(); i++) {
        uint64_t number = static_cast<uint64_t>((start + static_cast<unsigned __int128>(i) * step) % count);
        block.index = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                       static_cast<unsigned>(number / grid.x / grid.y)};
        if (i == 1) written = clean_shared();
        for (Range range : written) memset(range.from, 0xff, range.bytes);
        run_block();
    }
    watch_faults(false);
    running_kernel = nullptr;
    current = nullptr;
    return failure;
}

}  // namespace emulated
