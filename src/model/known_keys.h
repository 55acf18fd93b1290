#pragma once

#include "model/hyper_parameters.h"

#include <span>
#include <string_view>

namespace vkmoe {

/// What a metadata key means for an architecture's results.
enum class KeyEffect {
    kRead,     ///< vkmoe reads the key
    kNone,     ///< the key changes no logits
    kIgnored,  ///< the key asks for something that llama.cpp leaves out for this architecture; so does vkmoe
    kRefused,  ///< the key asks for something that llama.cpp computes and vkmoe does not
};

/// A metadata value with what decides whether it matters.
struct KeyContext {
    const GgufFile& file;
    const HyperParameters& hyper;
    const GgufValue& value;
};

using IsNeutral = bool (*)(const KeyContext& context);

/// Whether all numbers of the value are 0, false or none.
bool is_off(const KeyContext& context);

struct KnownKey {
    std::string_view
        name;  ///< without "<architecture>."; one that ends in . or _ stands for all that begin so
    KeyEffect effect;
    std::string_view meaning;       ///< a noun phrase
    IsNeutral is_neutral = is_off;  ///< whether a value leaves the result as it is
};

/// Keys `<architecture>.NAME`, by the same rules for all architectures that vkmoe computes.
std::span<const KnownKey> architecture_keys();

/// Keys of no architecture.
std::span<const KnownKey> general_keys();

/// The entry with this name, else with the longest prefix of it; null where there is none.
const KnownKey* find_key(std::span<const KnownKey> keys, std::string_view name);

}  // namespace vkmoe
