// Chance, from the seed of the settings.

#pragma once

#include <cstdint>

namespace emulated {

void seed_random(uint64_t seed);
uint64_t random_bits();
// Below `end`, which is not 0.
uint64_t random_below(uint64_t end);
// A number below `end` that shares no divisor with it; 1 where there is no other.
uint64_t coprime_below(uint64_t end);

}  // namespace emulated
