// Errors of kernels that the processor or the compiler's checks find.

#pragma once

#include <string>

namespace emulated {

// Are faults of this thread those of a kernel?
void watch_faults(bool on);

// Of block.cpp: who runs, for messages; and back to run_grid.
std::string running_thread();
[[noreturn]] void leave_kernel(const std::string &why);

}  // namespace emulated
