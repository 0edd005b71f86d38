#include "fault.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "fiber.h"
#include "memory.h"

namespace emulated {

static bool watching;
static pthread_t watched;
static constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static struct sigaction before[sizeof SIGNALS / sizeof *SIGNALS];

// file:line of an address in this library, if binutils are there to tell.
static std::string source_of(const void *code) {
    Dl_info info;
    if (dladdr(code, &info) == 0) return "";
    char command[1200], line[600] = "";
    uintptr_t offset = static_cast<const char *>(code) - static_cast<const char *>(info.dli_fbase);
    snprintf(command, sizeof command, "addr2line -e '%s' 0x%lx 2>/dev/null", info.dli_fname, static_cast<unsigned long>(offset));
    if (FILE *pipe = popen(command, "r")) {
        if (fgets(line, sizeof line, pipe) == nullptr) line[0] = 0;
        pclose(pipe);
    }
    line[strcspn(line, "\n")] = 0;
    return line[0] != 0 && line[0] != '?' ? std::string(" at ") + line : "";
}

static void on_fault(int number, siginfo_t *info, void *context) {
    if (!watching || !pthread_equal(pthread_self(), watched)) {
        // Not ours: again, for whoever was asked before.
        for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++) {
            if (SIGNALS[i] == number) sigaction(number, &before[i], nullptr);
        }
        return;
    }
    const void *code = reinterpret_cast<void *>(static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP]);
    std::string what = number == SIGFPE ? "a division by zero" : "an instruction that failed";
    if (number == SIGSEGV || number == SIGBUS) {
        what = is_stack_overflow(info->si_addr) ? "a stack overflow" : "an access to " + describe_address(info->si_addr);
    }
    leave_kernel(what + source_of(code) + ": " + running_thread());
}

void watch_faults(bool on) {
    static bool installed = [] {
        for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++) {
            struct sigaction action = {};
            action.sa_sigaction = on_fault;
            // The handler does not return, so the signal must not stay blocked.
            action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
            sigaction(SIGNALS[i], &action, &before[i]);
        }
        return true;
    }();
    (void)installed;
    watched = pthread_self();
    watching = on;
}

}  // namespace emulated

// What -fsanitize compiles into the kernels calls these; each kind of data begins
// with the place (GCC's libubsan, ubsan_handlers.h).

struct SanitizerPlace {
    const char *file;
    uint32_t line, column;
};

static void violated(const char *what, const void *data) {
    auto place = static_cast<const SanitizerPlace *>(data);
    emulated::leave_kernel(std::string(what) + " at " + place->file + ":" + std::to_string(place->line) + ": " + emulated::running_thread());
}

extern "C" {
__attribute__((visibility("hidden"))) void __ubsan_handle_type_mismatch_v1(void *data, void *) {
    violated("an address that is not aligned for its type", data);
}
__attribute__((visibility("hidden"))) void __ubsan_handle_out_of_bounds(void *data, void *) {
    violated("an index outside of its array", data);
}
__attribute__((visibility("hidden"))) void __ubsan_handle_shift_out_of_bounds(void *data, void *, void *) {
    violated("a shift by more bits than there are", data);
}
__attribute__((visibility("hidden"))) void __ubsan_handle_divrem_overflow(void *data, void *, void *) {
    violated("a division by zero", data);
}
}
