#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#ifndef __x86_64__
#error "the emulated GPU runs on x86-64 only"
#endif

// Registers that a callee keeps are saved on the stack that is left.
asm(R"(
    .text
    .globl emulated_go_to
    .hidden emulated_go_to
    .type emulated_go_to, @function
emulated_go_to:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulated_go_to, .-emulated_go_to
)");
extern "C" void emulated_go_to(void **save, void *other);

namespace emulated {

static constexpr size_t PAGE = 4096;
static constexpr size_t STACK = 128 << 10;

// All stacks, each above a page that nobody may touch.
static char *stacks() {
    static char *all = [] {
        size_t bytes = MOST_THREADS * STACK;
        void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) {
            perror("emulated GPU: no room for stacks");
            abort();
        }
        char *first = static_cast<char *>(at);
        for (size_t i = 0; i < MOST_THREADS; i++) mprotect(first + i * STACK, PAGE, PROT_NONE);
        return first;
    }();
    return all;
}

void *fresh_stack(size_t index, void (*entry)()) {
    char *top = stacks() + (index + 1) * STACK;
    void **at = reinterpret_cast<void **>(top);
    // As if called from a frame without caller: aligned after the return address.
    *--at = nullptr;
    *--at = reinterpret_cast<void *>(entry);
    for (int i = 0; i < 6; i++) *--at = nullptr;
    return at;
}

void go_to(void **save, void *other) { emulated_go_to(save, other); }

bool is_stack_overflow(const void *address) {
    const char *at = static_cast<const char *>(address);
    char *first = stacks();
    if (at < first || at >= first + MOST_THREADS * STACK) return false;
    return static_cast<size_t>(at - first) % STACK < PAGE;
}

}  // namespace emulated
