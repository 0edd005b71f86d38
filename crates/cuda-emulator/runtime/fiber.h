// Stacks, and going from one to another.

#pragma once

#include <cstddef>

namespace emulated {

constexpr size_t MOST_THREADS = 1024;

// Prepares fiber number `index` to call `entry`, which never returns.
void *fresh_stack(size_t index, void (*entry)());
// Saves where this one is, and goes on where the other was.
void go_to(void **save, void *other);
// Is the address in the page below one of the stacks?
bool is_stack_overflow(const void *address);

}  // namespace emulated
