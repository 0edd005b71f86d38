// Streams: queues of work that is done only when somebody waits for it, in an order
// that chance picks among those that CUDA allows.

#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace emulated {

// The values of CUresult that are given.
enum Result : unsigned {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    NO_BINARY_FOR_GPU = 209,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_OUT_OF_RESOURCES = 701,
    LAUNCH_FAILED = 719,
    UNKNOWN = 999,
};

struct Stream;
struct Event;

// Null for the default stream.
Stream *create_stream(bool blocking);
bool is_stream(const Stream *stream);
// Its work is still done.
void destroy_stream(Stream *stream);

Event *create_event();
bool is_event(const Event *event);
void destroy_event(Event *event);

// What the work answers is the device's state from then on, if it is an error.
// `host` is memory that must stay until it is done.
void enqueue(Stream *stream, std::function<Result()> work, const void *host = nullptr, size_t host_bytes = 0);
void record(Event *event, Stream *stream);
void wait_for(Stream *stream, Event *event);

// Has it all been done? Asking lets a little of it happen.
bool is_done(Stream *stream);
bool is_done(Event *event);
void finish(Stream *stream);
void finish(Event *event);
void finish_everything();

// Does work in a queue use this memory?
bool is_in_use(const void *host, size_t bytes);
uint64_t pending();

// The error that the context is in, SUCCESS if none, and why.
Result broken();
const std::string &why_broken();
void break_context(Result result, const std::string &why);
void drop_everything();

}  // namespace emulated
