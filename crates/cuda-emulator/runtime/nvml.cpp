// The functions of libnvidia-ml.so.1 that are asked for VRAM and its users, after
// the reference of NVML 12.2, about the same emulated GPU.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "settings.h"

extern "C" const emulated::Settings *moestro_emulator_settings();
extern "C" uint64_t moestro_emulator_used(uint32_t process);
extern "C" uint32_t moestro_emulator_process(size_t *index);

enum Answer : unsigned {
    SUCCESS = 0,
    INVALID_ARGUMENT = 2,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
};

#define API extern "C" __attribute__((visibility("default"))) Answer

typedef void *Device;

static const emulated::Settings &gpu() { return *moestro_emulator_settings(); }

static Answer text(const std::string &from, char *to, unsigned length) {
    if (from.size() >= length) return INSUFFICIENT_SIZE;
    memcpy(to, from.c_str(), from.size() + 1);
    return SUCCESS;
}


API nvmlInit_v2() { return SUCCESS; }
API nvmlInitWithFlags(unsigned) { return SUCCESS; }
API nvmlShutdown() { return SUCCESS; }

API nvmlSystemGetDriverVersion(char *version, unsigned length) { return text(gpu().driver, version, length); }

API nvmlSystemGetCudaDriverVersion_v2(int *version) {
    *version = gpu().cuda_version;
    return SUCCESS;
}

API nvmlDeviceGetCount_v2(unsigned *count) {
    *count = static_cast<unsigned>(gpu().devices);
    return SUCCESS;
}

API nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    if (index >= static_cast<unsigned>(gpu().devices)) return INVALID_ARGUMENT;
    *device = reinterpret_cast<Device>(static_cast<uintptr_t>(index) + 1);
    return SUCCESS;
}

// The driver's devices in reverse: the two libraries agree on names, not on numbers.
static unsigned of_driver(Device device) {
    return static_cast<unsigned>(gpu().devices) - static_cast<unsigned>(reinterpret_cast<uintptr_t>(device));
}

API nvmlDeviceGetUUID(Device device, char *uuid, unsigned length) {
    char name[48];
    snprintf(name, sizeof name, "GPU-abababab-abab-abab-abab-ababababab%02x", of_driver(device));
    return text(name, uuid, length);
}

API nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    for (unsigned index = 0; index < static_cast<unsigned>(gpu().devices); index++) {
        char name[48];
        nvmlDeviceGetHandleByIndex_v2(index, device);
        nvmlDeviceGetUUID(*device, name, sizeof name);
        if (strcmp(name, uuid) == 0) return SUCCESS;
    }
    return NOT_FOUND;
}

API nvmlDeviceGetIndex(Device device, unsigned *index) {
    *index = static_cast<unsigned>(reinterpret_cast<uintptr_t>(device)) - 1;
    return SUCCESS;
}

API nvmlDeviceGetName(Device, char *name, unsigned length) { return text(gpu().name, name, length); }

API nvmlDeviceGetCudaComputeCapability(Device, int *major, int *minor) {
    *major = gpu().major;
    *minor = gpu().minor;
    return SUCCESS;
}

// Programs use the driver's first device only.
static uint64_t used(Device device) {
    uint64_t bytes = of_driver(device) == 0 ? moestro_emulator_used(0) : 0;
    return bytes < gpu().vram ? bytes : gpu().vram;
}

struct Memory {
    unsigned long long total, free, used;
};

API nvmlDeviceGetMemoryInfo(Device device, Memory *memory) {
    *memory = {gpu().vram, gpu().vram - used(device), used(device)};
    return SUCCESS;
}

struct MemoryV2 {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

API nvmlDeviceGetMemoryInfo_v2(Device device, MemoryV2 *memory) {
    if (memory->version != (sizeof(MemoryV2) | 2u << 24)) return INVALID_ARGUMENT;
    memory->total = gpu().vram;
    memory->reserved = 0;
    memory->free = gpu().vram - used(device);
    memory->used = used(device);
    return SUCCESS;
}

struct Process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance, compute_instance;
};

API nvmlDeviceGetComputeRunningProcesses_v3(Device, unsigned *count, Process *processes) {
    unsigned found = 0, room = processes ? *count : 0;
    size_t index = 0;
    while (uint32_t pid = moestro_emulator_process(&index)) {
        if (found < room) processes[found] = {pid, moestro_emulator_used(pid), ~0u, ~0u};
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

struct Utilization {
    unsigned gpu, memory;
};

API nvmlDeviceGetUtilizationRates(Device, Utilization *rates) {
    *rates = {0, 0};
    return SUCCESS;
}

API nvmlDeviceGetTemperature(Device, unsigned, unsigned *degrees) {
    *degrees = 40;
    return SUCCESS;
}

API nvmlDeviceGetPowerUsage(Device, unsigned *milliwatts) {
    *milliwatts = 30000;
    return SUCCESS;
}

API nvmlDeviceGetClockInfo(Device, unsigned, unsigned *megahertz) {
    *megahertz = 1200;
    return SUCCESS;
}
