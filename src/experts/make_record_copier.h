#pragma once

#include "experts/pager_mode.h"
#include "experts/record_copier.h"

#include <cstdint>
#include <memory>

namespace vkmoe {

/// by: kQueue or kHost, which needs slots that the host sees. largest_record: bytes.
std::unique_ptr<RecordCopier> make_record_copier(CopyBy by, const std::shared_ptr<Device>& device,
                                                 uint64_t largest_record);

}  // namespace vkmoe
