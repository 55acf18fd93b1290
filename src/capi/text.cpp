#include "capi/guard.h"
#include "capi/handles.h"

#include <algorithm>
#include <string>
#include <string_view>

using vkmoe::ErrorCode;
using vkmoe::fail;
using vkmoe::capi::guard;
using vkmoe::capi::require;

const vkmoe::Tokenizer& vkmoe::capi::LoadedModel::tokenizer() const {
    std::call_once(tokenizer_once_, [this] { tokenizer_ = make_tokenizer(model_->file()); });
    return *tokenizer_;
}

vkmoe_status vkmoe_tokenize(const vkmoe_model* model, const char* text, size_t n_bytes, unsigned flags,
                            int32_t* tokens, size_t capacity, size_t* n_tokens) {
    return guard([&] {
        require(n_tokens, "n_tokens");
        *n_tokens = 0;
        require(model, "model");
        if (n_bytes != 0) require(text, "text");
        if (capacity != 0) require(tokens, "tokens");
        constexpr unsigned kAllFlags = VKMOE_TOKENIZE_ADD_SPECIAL | VKMOE_TOKENIZE_PARSE_SPECIAL;
        if ((flags & ~kAllFlags) != 0)
            fail(ErrorCode::kInvalidArgument, "flags is {:#x}, which has unknown bits", flags);
        const std::vector<int32_t> ids = model->loaded->tokenizer().encode(
            std::string_view(text, n_bytes), (flags & VKMOE_TOKENIZE_ADD_SPECIAL) != 0,
            (flags & VKMOE_TOKENIZE_PARSE_SPECIAL) != 0);
        *n_tokens = ids.size();
        std::copy_n(ids.begin(), std::min(ids.size(), capacity), tokens);
        if (ids.size() > capacity)
            fail(ErrorCode::kInvalidArgument, "the text has {} tokens, more than the capacity of {}",
                 ids.size(), capacity);
    });
}

vkmoe_status vkmoe_token_bytes(const vkmoe_model* model, int32_t token, const char** bytes, size_t* n_bytes) {
    return guard([&] {
        require(bytes, "bytes");
        require(n_bytes, "n_bytes");
        *bytes = "";
        *n_bytes = 0;
        require(model, "model");
        thread_local std::string kept;
        kept = model->loaded->tokenizer().token_bytes(token, false);
        *bytes = kept.c_str();
        *n_bytes = kept.size();
    });
}

bool vkmoe_token_is_end(const vkmoe_model* model, int32_t token) {
    bool is_end = false;
    guard([&] {
        require(model, "model");
        is_end = model->loaded->tokenizer().is_end_of_generation(token);
    });
    return is_end;
}
