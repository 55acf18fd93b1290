#pragma once

#include "kernels/page_tables.h"

namespace vkmoe {

/// Tables that pass for good ones where no kernel runs: 2 layers of 16 experts, 10 slots and a ring of 4.
inline constexpr PageTablesOnDevice kSomePageTables = {.tables = 0x1000,
                                                       .header = 0x2000,
                                                       .layers = 0x3000,
                                                       .slots = 0x4000,
                                                       .experts = 0x5000,
                                                       .slot_records = 0x6000,
                                                       .host_records = 0x7000,
                                                       .records = 0x8000,
                                                       .n_layers = 2,
                                                       .n_experts = 16,
                                                       .n_slots = 10,
                                                       .n_places = 14};

}  // namespace vkmoe
