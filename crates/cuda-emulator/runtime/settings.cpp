#include "settings.h"

#include <cstdio>
#include <cstdlib>

namespace emulated {

// Bytes, with K, M or G behind.
static bool parse_size(const std::string &text, uint64_t &out) {
    char *end;
    out = strtoull(text.c_str(), &end, 10);
    if (end == text.c_str()) return false;
    switch (*end) {
        case 'K': out <<= 10; end++; break;
        case 'M': out <<= 20; end++; break;
        case 'G': out <<= 30; end++; break;
    }
    return *end == 0;
}

static bool parse_nth(const std::string &text, Nth &out) {
    size_t colon = text.find(':');
    uint64_t n;
    if (colon == std::string::npos || !parse_size(text.substr(colon + 1), n)) return false;
    std::string what = text.substr(0, colon);
    if (what == "launch") out.launch = n;
    else if (what == "copy") out.copy = n;
    else if (what == "alloc") out.allocation = n;
    else return false;
    return true;
}

static bool parse_version(const std::string &text, int &major, int &minor) {
    return sscanf(text.c_str(), "%d.%d", &major, &minor) == 2;
}

static bool parse_one(const std::string &key, const std::string &value, Settings &out) {
    uint64_t number = 0;
    bool is_number = parse_size(value, number);
    if (key == "vram" && is_number) out.vram = number;
    else if (key == "others" && is_number) out.others = number;
    else if (key == "context" && is_number) out.context = number;
    else if (key == "seed" && is_number) out.seed = number;
    else if (key == "devices" && is_number) out.devices = static_cast<int>(number);
    else if (key == "full" && is_number) out.full_from = number;
    else if (key == "image" && is_number) out.image_error = static_cast<int>(number);
    else if (key == "name") out.name = value;
    else if (key == "driver") out.driver = value;
    else if (key == "garbage") out.garbage = value;
    else if (key == "shared") out.shared = value;
    else if (key == "fail") return parse_nth(value, out.fail);
    else if (key == "lost") return parse_nth(value, out.lost);
    else if (key == "faults" && (value == "abort" || value == "report")) out.report_faults = value == "report";
    else if (key == "capability") return parse_version(value, out.major, out.minor);
    else if (key == "cuda") {
        int major, minor;
        if (!parse_version(value, major, minor)) return false;
        out.cuda_version = major * 1000 + minor * 10;
    } else return false;
    return true;
}

std::string parse_settings(const char *text, Settings &settings) {
    std::string all = text;
    for (size_t at = 0; at < all.size();) {
        size_t end = all.find(',', at);
        if (end == std::string::npos) end = all.size();
        std::string item = all.substr(at, end - at);
        size_t equals = item.find('=');
        bool good = equals != std::string::npos && parse_one(item.substr(0, equals), item.substr(equals + 1), settings);
        if (!item.empty() && !good) return item;
        at = end + 1;
    }
    return "";
}

static Settings &in_force() {
    static Settings current = [] {
        Settings from_environment;
        const char *text = getenv("MOESTRO_EMULATED_GPU");
        std::string bad = parse_settings(text ? text : "", from_environment);
        if (!bad.empty()) {
            fprintf(stderr, "MOESTRO_EMULATED_GPU: \"%s\" is not understood\n", bad.c_str());
            abort();
        }
        return from_environment;
    }();
    return current;
}

const Settings &settings() { return in_force(); }

void change_settings(const Settings &settings) { in_force() = settings; }

}  // namespace emulated
