#pragma once

#include "kernels/kernel_table.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace vkmoe::conformance {

class CaseContext;

/// How much is tried of a cell. Quick: what finds most mistakes, with few pipelines, in a fraction of a
/// second even on a CPU driver. Full: every shape, and memory beyond 4 GiB.
enum class Depth { kQuick, kFull };

/// One thing that a cell of the kernel table must do right. run() makes its inputs with the context's
/// generator, runs the kernel and judges the result; it throws CheckFailure (check.h) when that is wrong.
/// Names are unique within a cell: with the seed they fix the inputs.
struct Case {
    std::string name;
    std::function<void(CaseContext&)> run;
};

/// Makes from shapes what a case runs: the check of a cell, with one shape after the other.
template <typename Shape>
auto each_of(const KernelKey& cell, void (*check)(CaseContext&, const KernelKey&, const Shape&)) {
    return [cell, check](std::vector<Shape> shapes) {
        return [cell, check, shapes = std::move(shapes)](CaseContext& c) {
            for (const Shape& shape : shapes) check(c, cell, shape);
        };
    };
}

}  // namespace vkmoe::conformance
