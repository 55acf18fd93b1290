// Decodes blocks for dequantize_check.py:
//   dequantize_dump TYPE BLOCKS FLOATS     the file BLOCKS, any whole number of blocks, to float32 in FLOATS;
//   NaN as 0x7FC00000

#include <fmt/core.h>

#include <cmath>
#include <exception>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "formats/dequantize.h"

namespace {

using vkmoe::ErrorCode;

int run(std::span<char*> arguments) {
    if (arguments.size() != 3) {
        fmt::print(stderr, "usage: dequantize_dump TYPE BLOCKS FLOATS\n");
        return 2;
    }
    const auto type = vkmoe::tensor_type_from_name(arguments[0]);
    if (!type)
        vkmoe::fail(ErrorCode::kInvalidArgument, "no type '{}': give one of formats/tensor_type.h",
                    arguments[0]);
    std::ifstream in(arguments[1], std::ios::binary);
    const std::vector<char> blocks{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    const vkmoe::TensorTypeInfo& info = vkmoe::tensor_type_info(*type);
    if (!in || blocks.size() % info.block_bytes != 0) {
        vkmoe::fail(ErrorCode::kIo, "'{}' cannot be read or is not made of {}-byte blocks", arguments[1],
                    info.block_bytes);
    }
    std::vector<float> numbers(blocks.size() / info.block_bytes * info.block_elements);
    vkmoe::dequantize_row(*type, std::as_bytes(std::span(blocks)).data(), numbers.data(), numbers.size());
    for (float& number : numbers) {
        if (std::isnan(number)) number = std::numeric_limits<float>::quiet_NaN();
    }
    std::ofstream out(arguments[2], std::ios::binary);
    out.write(reinterpret_cast<const char*>(numbers.data()),
              static_cast<std::streamsize>(numbers.size() * sizeof(float)));
    if (!out.flush()) vkmoe::fail(ErrorCode::kIo, "cannot write '{}'", arguments[2]);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(std::span(argv, static_cast<size_t>(argc)).subspan(1));
    } catch (const std::exception& error) {
        fmt::print(stderr, "dequantize_dump: {}\n", error.what());
        return 1;
    }
}
