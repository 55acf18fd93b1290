#include "experts/make_record_copier.h"

#include "experts/host_copier.h"
#include "experts/queue_copier.h"

namespace vkmoe {

std::unique_ptr<RecordCopier> make_record_copier(CopyBy by, const std::shared_ptr<Device>& device,
                                                 uint64_t largest_record) {
    if (by == CopyBy::kHost) return std::make_unique<HostCopier>(device);
    return std::make_unique<QueueCopier>(device, largest_record);
}

}  // namespace vkmoe
