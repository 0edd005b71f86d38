#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>

#include "settings.h"

namespace emulated {

static constexpr size_t PAGE = 4096;
// What nobody may touch before and behind an allocation.
static constexpr size_t GUARD = 1 << 20;
// What a driver hands out VRAM in; smaller allocations share it.
static constexpr uint64_t GRAIN = 2 << 20;

struct Allocation {
    size_t bytes;
    void *mapping;
    size_t mapped;
};

static std::map<const char *, Allocation> &allocations() {
    static std::map<const char *, Allocation> all;
    return all;
}

static std::map<const char *, size_t> &pinned() {
    static std::map<const char *, size_t> all;
    return all;
}

// What each process holds; in a file if several are to know of each other.
struct Holder {
    std::atomic<uint32_t> process;
    std::atomic<uint64_t> bytes;
};
static constexpr size_t MOST_HOLDERS = 64;

static Holder *open_holders(const std::string &path) {
    size_t bytes = MOST_HOLDERS * sizeof(Holder);
    int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *at = MAP_FAILED;
    if (file >= 0 && ftruncate(file, static_cast<off_t>(bytes)) == 0) {
        at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (at == MAP_FAILED) {
        fprintf(stderr, "emulated GPU: %s: %s\n", path.c_str(), strerror(errno));
        abort();
    }
    close(file);
    return static_cast<Holder *>(at);
}

static Holder *holders() {
    static Holder own[MOST_HOLDERS];
    static std::string opened;
    static Holder *all = own;
    const std::string &path = settings().shared;
    if (path != opened) {
        all = path.empty() ? own : open_holders(path);
        opened = path;
    }
    return all;
}

static bool is_alive(uint32_t process) { return kill(static_cast<pid_t>(process), 0) == 0 || errno == EPERM; }

static uint64_t small_bytes, large_bytes;
static bool context_held;

static uint64_t held_here(uint64_t small, uint64_t large) {
    return (context_held ? settings().context : 0) + large + (small + GRAIN - 1) / GRAIN * GRAIN;
}

// The entry of this process, taken over from one that has ended if need be.
static Holder &own_entry() {
    uint32_t self = static_cast<uint32_t>(getpid());
    Holder *all = holders();
    for (size_t i = 0; i < MOST_HOLDERS; i++) {
        if (all[i].process == self) return all[i];
    }
    for (size_t i = 0; i < MOST_HOLDERS; i++) {
        uint32_t owner = all[i].process;
        bool is_free = owner == 0 || !is_alive(owner);
        if (is_free && all[i].process.compare_exchange_strong(owner, self)) return all[i];
    }
    fprintf(stderr, "emulated GPU: more than %zu processes use it\n", MOST_HOLDERS);
    abort();
}

static void publish() { own_entry().bytes = held_here(small_bytes, large_bytes); }

uint32_t process_with_vram(size_t &index) {
    while (index < MOST_HOLDERS) {
        const Holder &holder = holders()[index++];
        uint32_t process = holder.process;
        if (process != 0 && holder.bytes != 0 && is_alive(process)) return process;
    }
    return 0;
}

uint64_t used_by(uint32_t process) {
    for (size_t i = 0; i < MOST_HOLDERS; i++) {
        if (holders()[i].process == process) return holders()[i].bytes;
    }
    return 0;
}

uint64_t used_vram() {
    uint64_t sum = settings().others;
    size_t index = 0;
    while (uint32_t process = process_with_vram(index)) sum += used_by(process);
    return sum;
}

void hold_context(bool held) {
    context_held = held;
    publish();
}

static void count(size_t bytes, bool add) {
    uint64_t rounded = bytes < GRAIN ? (bytes + 511) / 512 * 512 : (bytes + GRAIN - 1) / GRAIN * GRAIN;
    uint64_t &sum = bytes < GRAIN ? small_bytes : large_bytes;
    sum = add ? sum + rounded : sum - rounded;
    publish();
}

void *allocate(size_t bytes) {
    uint64_t before = used_vram();
    count(bytes, true);
    if (used_vram() > settings().vram && used_vram() > before) {
        count(bytes, false);
        return nullptr;
    }
    size_t inside = (bytes + PAGE - 1) / PAGE * PAGE;
    size_t mapped = inside + 2 * GUARD;
    void *mapping = mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED || mprotect(static_cast<char *>(mapping) + GUARD, inside, PROT_READ | PROT_WRITE) != 0) {
        if (mapping != MAP_FAILED) munmap(mapping, mapped);
        count(bytes, false);
        return nullptr;
    }
    char *first = static_cast<char *>(mapping) + GUARD;
    memset(first, 0xff, inside);
    char *at = first + inside - (bytes + 15) / 16 * 16;
    allocations()[at] = {bytes, mapping, mapped};
    return at;
}

bool release(void *at) {
    auto found = allocations().find(static_cast<char *>(at));
    if (found == allocations().end()) return false;
    count(found->second.bytes, false);
    munmap(found->second.mapping, found->second.mapped);
    allocations().erase(found);
    return true;
}

void release_everything() {
    while (!allocations().empty()) release(const_cast<char *>(allocations().begin()->first));
}

bool is_allocated(const void *at, size_t bytes) {
    const char *address = static_cast<const char *>(at);
    auto next = allocations().upper_bound(address);
    if (next == allocations().begin()) return false;
    auto found = std::prev(next);
    size_t offset = static_cast<size_t>(address - found->first);
    return offset <= found->second.bytes && bytes <= found->second.bytes - offset;
}

std::string describe_address(const void *at) {
    const char *address = static_cast<const char *>(at);
    char text[200];
    auto next = allocations().upper_bound(address);
    snprintf(text, sizeof text, "%p, in no allocation", at);
    if (next != allocations().end() && next->first - address < static_cast<ptrdiff_t>(GUARD)) {
        snprintf(text, sizeof text, "%p, %td bytes before an allocation of %zu bytes", at, next->first - address, next->second.bytes);
    }
    if (next != allocations().begin()) {
        auto found = std::prev(next);
        ptrdiff_t behind = address - found->first - static_cast<ptrdiff_t>(found->second.bytes);
        if (behind < 0) {
            snprintf(text, sizeof text, "%p, byte %td of an allocation of %zu bytes", at, address - found->first, found->second.bytes);
        } else if (behind < static_cast<ptrdiff_t>(GUARD)) {
            snprintf(text, sizeof text, "%p, %td bytes behind an allocation of %zu bytes", at, behind, found->second.bytes);
        }
    }
    return text;
}

void each_allocation(const std::function<void(char *, size_t)> &see) {
    for (auto &[at, allocation] : allocations()) see(const_cast<char *>(at), allocation.bytes);
}

void *allocate_pinned(size_t bytes) {
    void *at = nullptr;
    if (posix_memalign(&at, PAGE, bytes) != 0) return nullptr;
    memset(at, 0xff, bytes);
    pinned()[static_cast<char *>(at)] = bytes;
    return at;
}

bool release_pinned(void *at) {
    if (pinned().erase(static_cast<char *>(at)) == 0) return false;
    free(at);
    return true;
}

bool is_pinned(const void *at, size_t bytes) {
    const char *address = static_cast<const char *>(at);
    auto next = pinned().upper_bound(address);
    if (next == pinned().begin()) return false;
    auto found = std::prev(next);
    return address + bytes <= found->first + found->second;
}

}  // namespace emulated
