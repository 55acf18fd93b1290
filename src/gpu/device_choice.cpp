#include "gpu/device_choice.h"

#include "base/error.h"
#include "base/log.h"
#include "gpu/device.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <vector>

namespace vkmoe {
namespace {

/// Runs of letters, digits and underscores, in lower case. A dot between two of them belongs to the word, so
/// that no part of a version such as "15.0.6" is a word. Bytes beyond ASCII are letters.
std::vector<std::string> words_of(std::string_view text) {
    const auto is_letter = [&](size_t i) {
        if (i >= text.size()) return false;
        const auto byte = static_cast<unsigned char>(text[i]);
        return std::isalnum(byte) != 0 || byte == '_' || byte >= 0x80;
    };
    std::vector<std::string> words;
    bool inside = false;
    for (size_t i = 0; i < text.size(); ++i) {
        if (!is_letter(i) && !(text[i] == '.' && inside && is_letter(i + 1))) {
            inside = false;
            continue;
        }
        if (!inside) words.emplace_back();
        inside = true;
        words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
    }
    return words;
}

std::string list_of(std::span<const std::string> names, std::span<const uint32_t> indices) {
    std::vector<std::string> entries;
    for (const uint32_t index : indices) entries.push_back(fmt::format("{}: {}", index, names[index]));
    return fmt::format("{}", fmt::join(entries, "; "));
}

std::optional<uint32_t> index_in(std::string_view text) {
    uint32_t index = 0;
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, index);
    return error == std::errc() && rest == end ? std::optional(index) : std::nullopt;
}

std::vector<std::string> device_names(const Instance& instance) {
    std::vector<std::string> names;
    for (VkPhysicalDevice device : instance.physical_devices()) {
        VkPhysicalDeviceProperties properties{};
        vkGetPhysicalDeviceProperties(device, &properties);
        names.emplace_back(properties.deviceName);
    }
    return names;
}

uint32_t first_usable_device(const Instance& instance) {
    std::vector<std::string> refusals;
    for (uint32_t i = 0; i < instance.physical_devices().size(); ++i) {
        try {
            make_plan(query_caps(instance.physical_devices()[i]), std::nullopt);
            return i;
        } catch (const Error& error) {
            if (error.code() != ErrorCode::kUnsupported) throw;
            log_debug("device {} is skipped: {}", i, error.what());
            refusals.emplace_back(error.what());
        }
    }
    fail(ErrorCode::kNoDevice, "no device can run vkmoe: {}", fmt::join(refusals, "; "));
}

}  // namespace

uint32_t find_device(std::span<const std::string> names, std::string_view wish) {
    const std::optional<uint32_t> index = index_in(wish);
    if (index && *index < names.size()) return *index;

    const std::vector<std::string> wanted = words_of(wish);
    std::vector<uint32_t> matches;
    std::vector<uint32_t> same_name;
    for (uint32_t i = 0; i < names.size() && !wanted.empty(); ++i) {
        const std::vector<std::string> words = words_of(names[i]);
        if (std::ranges::search(words, wanted).empty()) continue;
        matches.push_back(i);
        if (words == wanted) same_name.push_back(i);
    }
    if (same_name.size() == 1) return same_name.front();
    if (matches.size() == 1) return matches.front();
    if (!matches.empty()) {
        fail(ErrorCode::kNoDevice, "more than one device matches '{}': {}; choose one by its index", wish,
             list_of(names, matches));
    }
    std::vector<uint32_t> all(names.size());
    std::iota(all.begin(), all.end(), 0);
    fail(ErrorCode::kNoDevice, "no device {} '{}'; choose one by its index or by whole words of its name: {}",
         index ? "has the index or the name" : "matches", wish, list_of(names, all));
}

uint32_t choose_device(const Instance& instance, const std::string& wish) {
    std::string wanted = wish;
    if (wanted.empty()) {
        const char* environment = std::getenv("VKMOE_DEVICE");
        if (environment != nullptr) wanted = environment;
    }
    return wanted.empty() ? first_usable_device(instance) : find_device(device_names(instance), wanted);
}

}  // namespace vkmoe
