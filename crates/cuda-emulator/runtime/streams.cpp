#include "streams.h"

#include <deque>
#include <set>
#include <vector>

#include "random.h"

namespace emulated {

struct Recording {
    bool done = false;
    Stream *stream = nullptr;
};

struct Event {
    // The last one; null before the first.
    std::shared_ptr<Recording> recording;
};

struct Work {
    // In the order of the calls, over all streams.
    uint64_t number;
    std::function<Result()> run;
    // To be waited for, if any.
    std::shared_ptr<Recording> after;
    const char *host;
    size_t host_bytes;
};

struct Stream {
    bool blocking;
    bool destroyed = false;
    std::deque<Work> queue{};
};

// A GPU's queues are finite too.
static constexpr uint64_t MOST_PENDING = 4096;

static Stream default_stream{true};
static std::vector<std::unique_ptr<Stream>> streams;
static std::set<const Event *> events;
static uint64_t next_number = 1;
static uint64_t pending_count;
static Result broken_by = SUCCESS;
static std::string broken_why;

static Stream *or_default(Stream *stream) { return stream ? stream : &default_stream; }

template <class See>
static void each_stream(See see) {
    see(&default_stream);
    for (auto &stream : streams) see(stream.get());
}

Result broken() { return broken_by; }
const std::string &why_broken() { return broken_why; }

void break_context(Result result, const std::string &why) {
    if (broken_by != SUCCESS) return;
    broken_by = result;
    broken_why = why;
    each_stream([](Stream *stream) { stream->queue.clear(); });
    pending_count = 0;
}

void drop_everything() {
    default_stream.queue.clear();
    streams.clear();
    for (const Event *event : events) delete event;
    events.clear();
    pending_count = 0;
    broken_by = SUCCESS;
    broken_why.clear();
}

Stream *create_stream(bool blocking) {
    streams.push_back(std::make_unique<Stream>(Stream{blocking}));
    return streams.back().get();
}

bool is_stream(const Stream *stream) {
    if (stream == nullptr) return true;
    for (auto &known : streams) {
        if (known.get() == stream) return !stream->destroyed;
    }
    return false;
}

static void forget_if_over(Stream *stream) {
    if (!stream->destroyed || !stream->queue.empty()) return;
    for (size_t i = 0; i < streams.size(); i++) {
        if (streams[i].get() == stream) {
            streams.erase(streams.begin() + static_cast<ptrdiff_t>(i));
            return;
        }
    }
}

void destroy_stream(Stream *stream) {
    stream->destroyed = true;
    forget_if_over(stream);
}

Event *create_event() {
    Event *event = new Event;
    events.insert(event);
    return event;
}

bool is_event(const Event *event) { return events.count(event) != 0; }

void destroy_event(Event *event) {
    events.erase(event);
    delete event;
}

// What the first work of a stream waits for: an event, or, at the default stream
// and those that wait for it, what was called earlier. Null: it can be done now.
static Stream *waits_for(Stream *stream) {
    const Work &work = stream->queue.front();
    if (work.after && !work.after->done) return work.after->stream;
    Stream *earlier = nullptr;
    if (!stream->blocking) return nullptr;
    each_stream([&](Stream *other) {
        bool ordered = other != stream && other->blocking && (stream == &default_stream || other == &default_stream);
        if (ordered && !other->queue.empty() && other->queue.front().number < work.number) earlier = other;
    });
    return earlier;
}

static void run_first(Stream *stream) {
    Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    pending_count--;
    if (work.run) {
        Result result = work.run();
        if (result != SUCCESS) break_context(result, "");
    }
    forget_if_over(stream);
}

// Runs one piece of work that brings `stream` nearer to its end.
static void step_towards(Stream *stream) {
    while (Stream *other = waits_for(stream)) stream = other;
    run_first(stream);
}

static bool step_anywhere() {
    std::vector<Stream *> ready;
    each_stream([&](Stream *stream) {
        if (!stream->queue.empty() && waits_for(stream) == nullptr) ready.push_back(stream);
    });
    if (ready.empty()) return false;
    run_first(ready[random_below(ready.size())]);
    return true;
}

void enqueue(Stream *stream, std::function<Result()> run, const void *host, size_t host_bytes) {
    Work work{next_number++, std::move(run), nullptr, static_cast<const char *>(host), host_bytes};
    or_default(stream)->queue.push_back(std::move(work));
    pending_count++;
    // A GPU also works while nobody asks.
    if (random_below(16) == 0) step_anywhere();
    while (pending_count > MOST_PENDING) step_anywhere();
}

void record(Event *event, Stream *stream) {
    auto recording = std::make_shared<Recording>();
    recording->stream = or_default(stream);
    event->recording = recording;
    enqueue(stream, [recording] {
        recording->done = true;
        return SUCCESS;
    });
}

void wait_for(Stream *stream, Event *event) {
    if (!event->recording || event->recording->done) return;
    or_default(stream)->queue.push_back({next_number++, nullptr, event->recording, nullptr, 0});
    pending_count++;
}

static bool is_over(const std::shared_ptr<Recording> &recording) {
    return broken_by != SUCCESS || !recording || recording->done;
}

// One of three ways for the rest of the GPU while somebody waits: it stands still,
// it is faster, or now this, now that.
static bool others_first(unsigned way) { return way == 1 || (way == 2 && random_below(2) == 0); }

void finish(Stream *given) {
    Stream *stream = or_default(given);
    unsigned way = static_cast<unsigned>(random_below(3));
    while (!stream->queue.empty()) {
        if (others_first(way)) step_anywhere();
        else step_towards(stream);
    }
}

void finish(Event *event) {
    auto recording = event->recording;
    unsigned way = static_cast<unsigned>(random_below(3));
    while (!is_over(recording)) {
        if (others_first(way)) step_anywhere();
        else step_towards(recording->stream);
    }
}

void finish_everything() {
    while (step_anywhere()) {
    }
}

static void happen() {
    if (random_below(2) == 0) step_anywhere();
}

bool is_done(Stream *stream) {
    happen();
    return or_default(stream)->queue.empty();
}

bool is_done(Event *event) {
    happen();
    return is_over(event->recording);
}

bool is_in_use(const void *host, size_t bytes) {
    const char *from = static_cast<const char *>(host);
    bool used = false;
    each_stream([&](Stream *stream) {
        for (const Work &work : stream->queue) {
            used = used || (work.host && work.host < from + bytes && from < work.host + work.host_bytes);
        }
    });
    return used;
}

uint64_t pending() { return pending_count; }

}  // namespace emulated
