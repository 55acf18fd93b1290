/* vkmoe: quantized Mixture-of-Experts models on any GPU with a Vulkan 1.3 driver.
 *
 * The public C API. A model is loaded onto a device once. Each session on a model holds the KV cache of one
 * conversation:
 *
 *     vkmoe_model *model;
 *     if (vkmoe_model_load("model.gguf", NULL, &model) != VKMOE_OK) { puts(vkmoe_last_error()); return 1; }
 *     vkmoe_session *session;
 *     vkmoe_session_create(model, NULL, &session);
 *     vkmoe_session_feed(session, tokens, n_tokens, NULL);          // the prompt
 *     vkmoe_session_generate(session, NULL, 128, on_text, NULL);    // streamed to a callback
 *     vkmoe_session_free(session);
 *     vkmoe_model_free(model);
 *
 * Every function that can fail returns a vkmoe_status. vkmoe_last_error() returns the reason as one line of
 * text. Every struct begins with its size, so that later versions can add fields. To set parameters, fill the
 * struct with vkmoe_model_default_params, vkmoe_session_default_params or vkmoe_sampling_default, which take
 * its size, then change individual fields. NULL selects the defaults. Strings are UTF-8 and NUL-terminated
 * unless a length accompanies them.
 *
 * Threads: several threads may share a model. Only one thread at a time may use a session.
 */
#ifndef VKMOE_VKMOE_H
#define VKMOE_VKMOE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define VKMOE_API
#else
#define VKMOE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vkmoe_status {
    VKMOE_OK = 0,
    VKMOE_INVALID_ARGUMENT =
        1,                   /* the call is not valid: NULL, a token outside the vocabulary, a full context */
    VKMOE_IO = 2,            /* a file cannot be opened, read or written */
    VKMOE_BAD_FILE = 3,      /* the contents of a file are damaged or inconsistent */
    VKMOE_UNSUPPORTED = 4,   /* valid, but not supported by vkmoe or by this device */
    VKMOE_OUT_OF_MEMORY = 5, /* host or device memory ran out */
    VKMOE_NO_DEVICE = 6,     /* no Vulkan loader, no driver or no suitable device */
    VKMOE_DEVICE_LOST = 7,   /* the device stopped working; free everything and load the model again */
    VKMOE_INTERNAL = 8,      /* a bug in vkmoe, or logits that are NaN or infinite */
    VKMOE_CANCELLED = 9,     /* a callback requested a stop */
    VKMOE_RESOURCE_LIMIT = 10 /* the system refused to start a thread; the next call may succeed */
} vkmoe_status;

/* The error message of this thread's last failed call. Valid until its next call. Never NULL. */
VKMOE_API const char* vkmoe_last_error(void);
VKMOE_API const char* vkmoe_status_name(vkmoe_status status);
VKMOE_API const char* vkmoe_version(void);

/* ---- models ---- */

typedef struct vkmoe_model vkmoe_model;

/* Selects what manages the expert cache in device memory if not all experts fit. */
typedef enum vkmoe_pager {
    VKMOE_PAGER_AUTO = 0,   /* the faster one, measured when the model is loaded; none if all experts fit */
    VKMOE_PAGER_DEVICE = 1, /* the device, without help from the host; host memory must hold all experts */
    VKMOE_PAGER_HOST = 2    /* the host, layer by layer */
} vkmoe_pager;

/* Controls prefetching of the experts that a layer will probably use while the previous layer runs. */
typedef enum vkmoe_prefetch {
    VKMOE_PREFETCH_AUTO = 0, /* on if the host can copy experts over a transfer queue during computation */
    VKMOE_PREFETCH_ON = 1,
    VKMOE_PREFETCH_OFF = 2
} vkmoe_prefetch;

struct vkmoe_session_params;

typedef struct vkmoe_model_params {
    size_t struct_size;
    const char* device; /* an index, or whole words of a name; NULL: $VKMOE_DEVICE, else the best device */
    /* Called while the weights are loaded, with the fraction done (0 to 1). Return false to cancel the load.
     * May be NULL. */
    bool (*progress)(float done, void* user);
    void* user;
    /* Device memory in bytes for weights and sessions together, never exceeded. 0: the free memory less some
     * headroom. Experts that do not fit stay in host memory. */
    uint64_t vram_budget;
    /* RAM in bytes for the part of the model in host memory, or for the whole model if the device uses the
     * host's RAM. 0: the free RAM less some headroom. Experts that do not fit stay in the file. The memory of
     * the program and of the driver is not included. */
    uint64_t ram_budget;
    vkmoe_pager pager;
    vkmoe_prefetch prefetch;
    /* The largest session that will be created. The budgets leave room for it: a model that does not fit
     * beside it is paged, and the load fails if even that is not enough. NULL: the budgets leave room for a
     * default session. Read only while the model is loaded. */
    const struct vkmoe_session_params* session;
    uint64_t ram_reserve; /* bytes of ram_budget to leave for other uses, such as the program itself; has no
                             effect if ram_budget is 0 */
    /* Array of n_ignored_keys metadata keys. The model is loaded as if the file lacked them. Without this, a
     * key that would change the result in an unsupported way fails the load. Read only while the model is
     * loaded. NULL if n_ignored_keys is 0. */
    const char* const* ignored_keys;
    size_t n_ignored_keys;
} vkmoe_model_params;

typedef struct vkmoe_model_info {
    size_t struct_size;
    const char* architecture; /* "qwen3moe" */
    const char* name;         /* general.name, or "" */
    const char* device;       /* the device's name */
    bool device_is_cpu;       /* a software driver such as lavapipe: correct, but slow */
    uint32_t n_layers;
    uint32_t n_experts;      /* per layer; 0 for a dense model */
    uint32_t n_experts_used; /* per token */
    uint32_t n_vocabulary;
    uint32_t n_embedding;
    uint32_t n_context_train; /* the longest context that the model was trained for */
    uint64_t n_parameters;
    uint64_t weight_bytes; /* in device memory */
    const char* driver;    /* the driver's name and version */
    const char* pager;     /* one line: the pager, the measurements behind its choice, and the location of the
                              experts; "" if all experts are in device memory */
} vkmoe_model_info;

VKMOE_API void vkmoe_model_default_params(vkmoe_model_params* params, size_t struct_size);
VKMOE_API vkmoe_status vkmoe_model_load(const char* path, const vkmoe_model_params* params,
                                        vkmoe_model** model);
/* Frees the model once all of its sessions are freed too. NULL is allowed. */
VKMOE_API void vkmoe_model_free(vkmoe_model* model);
/* Set info->struct_size first. The strings are valid as long as the model. */
VKMOE_API vkmoe_status vkmoe_model_get_info(const vkmoe_model* model, vkmoe_model_info* info);

/* ---- text ---- */

typedef enum vkmoe_tokenize_flags {
    VKMOE_TOKENIZE_ADD_SPECIAL = 1,  /* add begin- and end-of-text tokens if the model uses them */
    VKMOE_TOKENIZE_PARSE_SPECIAL = 2 /* convert names of special tokens in the text to those tokens */
} vkmoe_tokenize_flags;

/* Writes at most capacity tokens and sets *n_tokens to the number of tokens in the text. Returns
 * VKMOE_INVALID_ARGUMENT if that is more than capacity; *n_tokens is then the capacity to call again with.
 * tokens may be NULL if capacity is 0. */
VKMOE_API vkmoe_status vkmoe_tokenize(const vkmoe_model* model, const char* text, size_t n_bytes,
                                      unsigned flags, int32_t* tokens, size_t capacity, size_t* n_tokens);
/* Returns the bytes of a token: not always whole UTF-8 characters, and none for control tokens. *bytes is
 * valid until this thread's next call. */
VKMOE_API vkmoe_status vkmoe_token_bytes(const vkmoe_model* model, int32_t token, const char** bytes,
                                         size_t* n_bytes);
/* Returns true if the model ends its text with this token. */
VKMOE_API bool vkmoe_token_is_end(const vkmoe_model* model, int32_t token);

/* ---- sessions ---- */

typedef struct vkmoe_session vkmoe_session;

typedef enum vkmoe_kv_type { VKMOE_KV_F16 = 0, VKMOE_KV_F32 = 1, VKMOE_KV_Q8_0 = 2 } vkmoe_kv_type;

typedef struct vkmoe_session_params {
    size_t struct_size;
    uint32_t n_context;     /* tokens; 0: 4096, or the trained context if that is shorter */
    uint32_t n_micro_batch; /* prompt tokens computed at once; 0: 512 */
    vkmoe_kv_type kv_type;
    bool profile;             /* measure GPU time by region, see vkmoe_session_profile */
    bool router_statistics;   /* collect load balance for vkmoe_session_router_statistics; takes some time */
    uint32_t allow_nonfinite; /* not 0: vkmoe_session_feed returns logits that are NaN or infinite instead of
                                 failing. vkmoe_session_generate fails regardless */
} vkmoe_session_params;

VKMOE_API void vkmoe_session_default_params(vkmoe_session_params* params, size_t struct_size);
VKMOE_API vkmoe_status vkmoe_session_create(vkmoe_model* model, const vkmoe_session_params* params,
                                            vkmoe_session** session);
VKMOE_API void vkmoe_session_free(vkmoe_session* session);

/* Appends n_tokens tokens and computes them. logits is NULL, or receives n_tokens * n_vocabulary floats: the
 * logits after each token. Returns VKMOE_INVALID_ARGUMENT, without computing anything, if a token is outside
 * the vocabulary or the tokens exceed the context. Returns VKMOE_INTERNAL if a returned logit is NaN or
 * infinite. After any failure, the session's tokens and statistics are the same as before the call. */
VKMOE_API vkmoe_status vkmoe_session_feed(vkmoe_session* session, const int32_t* tokens, size_t n_tokens,
                                          float* logits);
/* Returns the logits after the last token fed, [n_vocabulary]. Valid until the session's next call. */
VKMOE_API vkmoe_status vkmoe_session_logits(vkmoe_session* session, const float** logits);
/* Returns the number of tokens in the session. */
VKMOE_API uint32_t vkmoe_session_position(const vkmoe_session* session);
/* Keeps the first n_tokens tokens and removes the rest, so that other tokens can follow. This discards
 * the logits unless there is nothing to remove. */
VKMOE_API vkmoe_status vkmoe_session_truncate(vkmoe_session* session, uint32_t n_tokens);

typedef struct vkmoe_sampling {
    size_t struct_size;
    float temperature;          /* 0: greedy. Default 0.8 */
    uint32_t top_k;             /* 0: all. Default 40 */
    float top_p;                /* 1: all. Default 0.95 */
    float min_p;                /* 0: all. Default 0.05 */
    float repetition_penalty;   /* 1: none. Default 1 */
    uint32_t repetition_window; /* number of recent tokens that the penalty considers. Default 64 */
    uint64_t seed;   /* the same seed, prompt and settings give the same text on one device and driver */
    bool ignore_end; /* continue past end-of-text tokens */
} vkmoe_sampling;

VKMOE_API void vkmoe_sampling_default(vkmoe_sampling* sampling, size_t struct_size);

/* Called for each new token with its text. The text consists of whole UTF-8 characters, so n_bytes may be 0.
 * The last call has token -1 and the bytes held back until then. Return false to stop. */
typedef bool (*vkmoe_token_callback)(int32_t token, const char* text, size_t n_bytes, void* user);

/* Samples and feeds tokens until it has generated n_tokens, the text ends, the context is full or the
 * callback returns false. */
VKMOE_API vkmoe_status vkmoe_session_generate(vkmoe_session* session, const vkmoe_sampling* sampling,
                                              size_t n_tokens, vkmoe_token_callback callback, void* user);

typedef struct vkmoe_session_stats {
    size_t struct_size;
    uint64_t prompt_tokens;  /* tokens passed to vkmoe_session_feed, in calls of any size */
    double prompt_seconds;   /* the time to compute them */
    uint64_t decoded_tokens; /* generated by vkmoe_session_generate, including an end-of-text token */
    double decode_seconds;   /* the time to compute them, without sampling and the callback */
    uint64_t kv_bytes;       /* device memory of the KV cache */
} vkmoe_session_stats;

/* Set stats->struct_size first. */
VKMOE_API vkmoe_status vkmoe_session_get_stats(const vkmoe_session* session, vkmoe_session_stats* stats);

/* The state and activity of the pager since the model was loaded, for all sessions of the model together, and
 * the memory of the model. To measure a part of the work, read the statistics before and after it. */
typedef struct vkmoe_pager_stats {
    size_t struct_size;
    vkmoe_pager mode; /* VKMOE_PAGER_DEVICE or VKMOE_PAGER_HOST. VKMOE_PAGER_AUTO: all experts are resident,
                         nothing is paged, and the fields down to host_bytes are 0 */
    uint64_t n_slots; /* number of experts that fit in device memory */
    uint64_t slot_bytes;
    uint64_t n_records; /* number of experts in all layers */
    uint64_t record_bytes;
    uint64_t hits; /* experts that decode needed and that were in device memory */
    uint64_t misses;
    double hit_rate; /* hits / (hits + misses); 0 if there were none */
    uint64_t evictions;
    uint64_t prefetched; /* experts fetched before they were needed */
    uint64_t prefetched_used;
    uint64_t streamed;      /* experts fetched for prefill, which leaves the slots unchanged */
    uint64_t bytes_moved;   /* to device memory, for decode, prefetch and prefill */
    double seconds;         /* time in which sessions computed */
    double seconds_stalled; /* the part of seconds spent waiting for experts: the transfer time of misses and
                               streamed experts at the link's speed, plus the measured waits for the file */
    double link_bytes_per_second; /* the highest link speed measured when the model was loaded */
    double link_share;            /* bytes_moved / the bytes that the link could move in that time */
    double stall_share;           /* seconds_stalled / seconds */
    uint64_t host_bytes;          /* host memory that holds experts */
    uint64_t vram_budget;         /* bytes; 0: no budget was set */
    uint64_t peak_device_bytes;   /* the highest device memory use so far */
} vkmoe_pager_stats;

/* Set stats->struct_size first. */
VKMOE_API vkmoe_status vkmoe_session_pager_stats(const vkmoe_session* session, vkmoe_pager_stats* stats);
/* Writes how often each expert was selected so far to counts, [n_layers, n_experts]. The rows of dense layers
 * are zero. capacity is the number of elements of counts. */
VKMOE_API vkmoe_status vkmoe_session_expert_counts(vkmoe_session* session, uint64_t* counts, size_t capacity);

/* The balance with which a layer's router distributes tokens over the experts. */
typedef struct vkmoe_router_statistics {
    size_t struct_size;
    uint64_t n_tokens;           /* tokens routed so far; 0 for a dense layer, whose values are all 0 */
    const uint64_t* counts;      /* number of tokens routed to each expert, [n_experts] */
    const double* probabilities; /* router probability of each expert, averaged over tokens, [n_experts] */
    /* As in Switch Transformer: n_experts * the sum over experts of share * probability. A share is a
     * fraction of all routes, so that 1 means balanced for any n_experts_used. */
    double auxiliary_loss;
    double coefficient_of_variation; /* standard deviation of the counts / their mean; 0 means balanced */
    double max_over_mean;            /* the highest count / the mean count; 1 means balanced */
    double entropy;                  /* of the shares, in bits; log2(n_experts) means balanced */
} vkmoe_router_statistics;

/* Set statistics->struct_size first. The arrays are valid until the session's next call. Returns
 * VKMOE_INVALID_ARGUMENT for a layer that does not exist, a model without experts or a session created
 * without router_statistics. */
VKMOE_API vkmoe_status vkmoe_session_router_statistics(vkmoe_session* session, uint32_t layer,
                                                       vkmoe_router_statistics* statistics);
/* Returns a table of GPU time by region, or an empty string if the session was created without profile. Valid
 * until the session's next call. */
VKMOE_API const char* vkmoe_session_profile(vkmoe_session* session);

#ifdef __cplusplus
}
#endif
#endif
