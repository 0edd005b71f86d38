// Runs the blocks of a kernel on the calling thread. Each thread of a block is a
// fiber that runs until it must wait for others; who goes first is left to a seed.
//
// What a GPU would leave undefined is an error here that names kernel, block,
// thread and line: waiting for threads that have left or wait elsewhere, shuffles
// with lanes missing, accesses outside of allocations or not aligned.

#pragma once

#include <cstdint>
#include <functional>
#include <string>

struct uint3 { unsigned x, y, z; };

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    uint64_t count() const { return static_cast<uint64_t>(x) * y * z; }
};

namespace emulated {

struct Place {
    const char *file;
    int line;
};

enum class State { ready, at_block, at_warp, done };
enum class Meeting { sync, shuffle, ballot };

struct Fiber {
    uint3 thread;
    unsigned lane;
    State state;
    // While waiting, and after.
    Place place;
    Meeting meeting;
    unsigned mask;
    unsigned source;
    uint64_t given, received;
    void *stack_pointer;
};

struct Block {
    uint3 index;
    dim3 threads, grid;
};

// Of the thread that runs now.
extern Fiber *current;
extern Block block;

// Waits for all threads of the block; how many gave a predicate.
unsigned meet_block(bool predicate, Place place);
// Waits for the lanes of `mask`; what `source` gave, or all predicates as bits.
uint64_t meet_warp(unsigned mask, Meeting meeting, uint64_t given, unsigned source, Place place);

// A kernel as the build registers it, see build.rs.
struct Kernel {
    const char *name;
    // As in __launch_bounds__; 0: not given.
    unsigned most_threads;
    std::function<void()> (*bind)(void **arguments);
    Kernel(const char *name, unsigned most_threads, std::function<void()> (*bind)(void **));
};

// Null if there is none.
const Kernel *find_kernel(const char *name);

// What went wrong; empty if nothing did.
std::string run_grid(const Kernel &kernel, dim3 grid, dim3 threads, const std::function<void()> &body);

}  // namespace emulated
