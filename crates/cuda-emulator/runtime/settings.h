// What GPU is imitated and what goes wrong with it: a list like
// "vram=512M,seed=7,lost=copy:50", see the crate's documentation for the words.

#pragma once

#include <cstdint>
#include <string>

namespace emulated {

// The how-manieth of these goes wrong, from 1 on; 0: none.
struct Nth {
    uint64_t launch = 0, copy = 0, allocation = 0;
};

struct Settings {
    uint64_t vram = uint64_t{2} << 30;
    // Taken by other programs, and by a context.
    uint64_t others = 0, context = uint64_t{64} << 20;
    uint64_t seed = 1;
    int devices = 1, major = 8, minor = 0, cuda_version = 12020;
    std::string driver = "535.104.05", name = "Emulated GPU";
    // Errors like those of a kernel, which end a context, and of a device that is gone.
    Nth fail, lost;
    // Every allocation from this one on fails.
    uint64_t full_from = 0;
    // A kernel whose results are wrong; "*" for all.
    std::string garbage;
    // What cuModuleLoadData answers.
    int image_error = 0;
    // Faults of kernels and of their callers become errors of the API; otherwise
    // they end the process, so that no fallback can hide them.
    bool report_faults = false;
    // A file in which several processes count what they hold of the VRAM.
    std::string shared;
};

// Empty if it was understood, otherwise what was not.
std::string parse_settings(const char *text, Settings &settings);

// In force now; at first those of the environment.
const Settings &settings();
void change_settings(const Settings &settings);

}  // namespace emulated
