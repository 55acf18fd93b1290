#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"

namespace vkmoe {

/// Calls fn, which must throw an Error with this code and a one-line message that holds every one of `parts`.
template <typename Function>
void expect_error(ErrorCode code, std::initializer_list<std::string_view> parts, Function fn) {
    try {
        fn();
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_EQ(error.code(), code) << message;
        EXPECT_EQ(message.find('\n'), std::string::npos) << message;
        for (const std::string_view part : parts) {
            EXPECT_NE(message.find(part), std::string::npos) << "no \"" << part << "\" in: " << message;
        }
        return;
    }
    ADD_FAILURE() << "nothing was thrown";
}

}  // namespace vkmoe
