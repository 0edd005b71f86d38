#include "random.h"

#include <numeric>

namespace emulated {

static uint64_t state = 1;

void seed_random(uint64_t seed) { state = seed; }

// SplitMix64.
uint64_t random_bits() {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_below(uint64_t end) { return random_bits() % end; }

uint64_t coprime_below(uint64_t end) {
    for (;;) {
        uint64_t step = 1 + random_below(end);
        if (std::gcd(step, end) == 1) return step;
    }
}

}  // namespace emulated
