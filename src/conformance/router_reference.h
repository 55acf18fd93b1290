#pragma once

#include "conformance/check.h"
#include "kernels/router.h"

#include <cstdint>
#include <span>
#include <vector>

namespace vkmoe::conformance {

/// What a router is told and reads; addresses in args are not looked at.
struct RouterCase {
    RouterArgs args;
    std::vector<float> logits;         // [n_tokens, n_experts]
    std::vector<float> bias;           // [n_experts]; empty: none
    std::vector<float> expert_scales;  // [n_experts]; empty: none
    std::vector<uint32_t> table;       // [n_table_rows, n_slots]; empty: none
    std::vector<uint32_t> tokens;      // [n_tokens], with a table
};

/// The score of a logit that depends on no other: of sigmoid, square root of softplus; exp for softmaxes.
double plain_score(RouterScore score, double logit);

/// One token's logits in double, by the rules of kernels/router.h.
class RouterReference {
  public:
    RouterReference(const RouterCase& routing, uint32_t token);

    /// CheckFailure unless the ids are a choice that these logits allow: where scores are nearer to one
    /// another than float32 can tell, either may go first.
    void check_choice(std::span<const uint32_t> ids) const;
    /// The weights that go with ids.
    std::vector<Expected> weights(std::span<const uint32_t> ids) const;

  private:
    struct Value {
        double value = 0;
        double error = 0;  // that float32 may make
    };
    /// Where float32 leaves no doubt: by value, NaN last, the lower index first on ties.
    bool goes_before(const std::vector<Value>& values, uint32_t a, uint32_t b) const;
    Value group_value(uint32_t group) const;
    void check_groups(std::span<const uint32_t> ids) const;
    bool surely_used(uint32_t expert) const;
    void check_table(std::span<const uint32_t> ids) const;
    Expected sparse_mixer(std::span<const uint32_t> ids, size_t slot) const;
    double score(uint32_t expert) const;

    const RouterCase& routing_;
    const RouterArgs& args_;
    uint32_t token_;
    std::span<const float> logits_;
    bool has_nan_ = false;
    double largest_ = 0;         // logit
    double total_ = 0;           // of exp(logit - largest)
    std::vector<Value> values_;  // that experts are chosen by
    std::vector<Value> groups_;  // of more than one group, some of them unused
};

}  // namespace vkmoe::conformance
