#pragma once

#include "gpu/caps.h"

namespace vkmoe {

/// The features of Vulkan 1.1 to 1.3 as one chain: what a driver has, or what a device is to be made with.
class FeatureChain {
  public:
    FeatureChain();
    FeatureChain(const FeatureChain&) = delete;
    FeatureChain& operator=(const FeatureChain&) = delete;

    VkPhysicalDeviceFeatures2& head() { return head_; }
    /// Fills in the features of a driver that the chain was filled by.
    void tell(DeviceCaps& caps) const;
    /// Asks for all features that vkmoe uses and the driver has. matrices: what must be chained for
    /// cooperative matrices, or null.
    void ask(const DeviceCaps& caps, void* matrices);

  private:
    VkPhysicalDeviceVulkan13Features v13_;
    VkPhysicalDeviceVulkan12Features v12_;
    VkPhysicalDeviceVulkan11Features v11_;
    VkPhysicalDeviceFeatures2 head_;
};

}  // namespace vkmoe
