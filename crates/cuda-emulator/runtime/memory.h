// Memory of the emulated GPU and pinned memory of the machine.
//
// Every allocation lies between guards that nobody may touch, its end as near to the
// upper one as an alignment of 16 lets it, and is filled with 0xff (NaN) at first.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace emulated {

// Null if the VRAM is full.
void *allocate(size_t bytes);
// False: there is none at this address.
bool release(void *at);
// Is all of the range in one allocation?
bool is_allocated(const void *at, size_t bytes);
// Like "0x..., 12 bytes behind an allocation of 4096 bytes".
std::string describe_address(const void *at);
// All allocations of this process, in turn.
void each_allocation(const std::function<void(char *at, size_t bytes)> &see);
void release_everything();

void *allocate_pinned(size_t bytes);
bool release_pinned(void *at);
bool is_pinned(const void *at, size_t bytes);

// Bytes of VRAM, other programs and processes included.
uint64_t used_vram();
// Those of one process; 0 if it holds none.
uint64_t used_by(uint32_t process);
// The number of a process that holds VRAM, from `index` on; 0: no more of them.
uint32_t process_with_vram(size_t &index);
// What the context takes beside allocations.
void hold_context(bool held);

}  // namespace emulated
