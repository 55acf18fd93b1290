#pragma once

#include "gpu/caps.h"

namespace vkmoe {

/// Fills caps.matrices; caps.extensions must be there. Leaves it empty where the extensions are missing, or
/// the headers that this was built with do not know them.
void query_matrix_caps(VkPhysicalDevice device, DeviceCaps& caps);

/// The feature structures of cooperative matrices, to be chained to what a device is created with.
class MatrixFeatures {
  public:
    /// Of VK_KHR_cooperative_matrix, and where `second` is set of VK_NV_cooperative_matrix2.
    MatrixFeatures(const MatrixCaps& caps, bool first, bool second);
    MatrixFeatures(const MatrixFeatures&) = delete;
    MatrixFeatures& operator=(const MatrixFeatures&) = delete;

    void* head() { return head_; }  ///< null: nothing to enable

  private:
    void* head_ = nullptr;
#ifdef VK_KHR_cooperative_matrix
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR first_{};
#endif
#ifdef VK_NV_cooperative_matrix2
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV second_{};
#endif
};

}  // namespace vkmoe
