/* vkmoe: quantized Mixture-of-Experts models on any GPU with a Vulkan 1.3 driver.
 *
 * The public C API. A model is loaded once onto a device; sessions on it each hold one conversation's KV
 * cache:
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
 * Every function that can fail returns a vkmoe_status; the reason is one line of text in
 * vkmoe_last_error(). Structs begin with their size, so that they can grow: fill parameters by
 * their vkmoe_*_default function, which takes that size, then change what you like; NULL stands
 * for the defaults. Strings are UTF-8 and NUL-terminated unless a length goes with them.
 *
 * Threads: a model may be shared by threads; a session belongs to one thread at a time.
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
        1,              /* a call that has no meaning: NULL, a token outside the vocabulary, a full context */
    VKMOE_IO = 2,       /* a file cannot be opened, read or written */
    VKMOE_BAD_FILE = 3, /* a file's contents are broken or contradict themselves */
    VKMOE_UNSUPPORTED = 4,    /* well-formed, but vkmoe or this device cannot do it */
    VKMOE_OUT_OF_MEMORY = 5,  /* host or device memory ran out */
    VKMOE_NO_DEVICE = 6,      /* no Vulkan loader, no driver, or no device that fits */
    VKMOE_DEVICE_LOST = 7,    /* the device stopped working; free everything and load again */
    VKMOE_INTERNAL = 8,       /* a mistake of vkmoe's own, or logits that are NaN or infinite */
    VKMOE_CANCELLED = 9,      /* a callback asked to stop */
    VKMOE_RESOURCE_LIMIT = 10 /* the system refuses a thread; the next call may succeed */
} vkmoe_status;

/* What went wrong in this thread's last failed call. Valid until its next call. Never NULL. */
VKMOE_API const char* vkmoe_last_error(void);
VKMOE_API const char* vkmoe_status_name(vkmoe_status status);
VKMOE_API const char* vkmoe_version(void);

/* ---- models ---- */

typedef struct vkmoe_model vkmoe_model;

/* Who decides which experts are in device memory, where not all of them fit. */
typedef enum vkmoe_pager {
    VKMOE_PAGER_AUTO = 0,   /* what is faster by measurement when the model is loaded; nobody where all fit */
    VKMOE_PAGER_DEVICE = 1, /* the device, without the host's help: host memory must hold all experts */
    VKMOE_PAGER_HOST = 2    /* the host, layer by layer */
} vkmoe_pager;

/* Whether experts that a layer will probably want are fetched while the one before it is computed. */
typedef enum vkmoe_prefetch {
    VKMOE_PREFETCH_AUTO = 0, /* where they can come beside the computing: by the host over a transfer queue */
    VKMOE_PREFETCH_ON = 1,
    VKMOE_PREFETCH_OFF = 2
} vkmoe_prefetch;

struct vkmoe_session_params;

typedef struct vkmoe_model_params {
    size_t struct_size;
    const char* device; /* index, or whole words of a name; NULL: $VKMOE_DEVICE, else the best device */
    /* Called while weights are loaded, with the share done (0..1); return false to give up. May be NULL. */
    bool (*progress)(float done, void* user);
    void* user;
    uint64_t vram_budget; /* bytes of device memory for weights and sessions together, never exceeded; 0: what
                             is free, less some headroom. Experts beyond it stay in host memory */
    uint64_t ram_budget; /* bytes of RAM for what of the model lies there, and on a device whose memory is the
                            host's RAM for all of it; 0: what is free, less some headroom. Experts beyond it
                            stay in the file. The program's own memory and the driver's come on top */
    vkmoe_pager pager;
    vkmoe_prefetch prefetch;
    /* The largest session that will be made: the budgets leave room for it, so that a model is paged where
     * it leaves too little, and the load fails where none would do. NULL: room is left for a default one.
     * Read while the model is loaded only. */
    const struct vkmoe_session_params* session;
    uint64_t ram_reserve; /* bytes of ram_budget to leave to others, such as the program itself; nothing where
                             that is 0 */
    /* Metadata keys to treat as if the file lacked them, n_ignored_keys of them: a key whose value would
     * change the result in a way that vkmoe does not compute otherwise fails the load. Read while the model
     * is loaded only. NULL with 0. */
    const char* const* ignored_keys;
    size_t n_ignored_keys;
} vkmoe_model_params;

typedef struct vkmoe_model_info {
    size_t struct_size;
    const char* architecture; /* "qwen3moe" */
    const char* name;         /* general.name, or "" */
    const char* device;       /* the device's name */
    bool device_is_cpu;       /* a software driver such as lavapipe: right, but slow */
    uint32_t n_layers;
    uint32_t n_experts;      /* a layer; 0 for a dense model */
    uint32_t n_experts_used; /* for each token */
    uint32_t n_vocabulary;
    uint32_t n_embedding;
    uint32_t n_context_train; /* the longest context that the model was trained for */
    uint64_t n_parameters;
    uint64_t weight_bytes; /* in device memory */
    const char* driver;    /* the driver's name and version */
    const char* pager; /* one line: who pages experts, what was measured to choose that, and where they are;
                          "" where all are in device memory */
} vkmoe_model_info;

VKMOE_API void vkmoe_model_default_params(vkmoe_model_params* params, size_t struct_size);
VKMOE_API vkmoe_status vkmoe_model_load(const char* path, const vkmoe_model_params* params,
                                        vkmoe_model** model);
/* Frees it once its last session is freed too. NULL is fine. */
VKMOE_API void vkmoe_model_free(vkmoe_model* model);
/* Set info->struct_size first. The strings live as long as the model. */
VKMOE_API vkmoe_status vkmoe_model_get_info(const vkmoe_model* model, vkmoe_model_info* info);

/* ---- text ---- */

typedef enum vkmoe_tokenize_flags {
    VKMOE_TOKENIZE_ADD_SPECIAL = 1,  /* begin- and end-of-text tokens, where the model wants them */
    VKMOE_TOKENIZE_PARSE_SPECIAL = 2 /* names of special tokens in the text become those tokens */
} vkmoe_tokenize_flags;

/* Writes at most capacity tokens; *n_tokens is how many there are. More than capacity:
 * VKMOE_INVALID_ARGUMENT, and *n_tokens tells the capacity to come back with (tokens may be NULL with
 * capacity 0). */
VKMOE_API vkmoe_status vkmoe_tokenize(const vkmoe_model* model, const char* text, size_t n_bytes,
                                      unsigned flags, int32_t* tokens, size_t capacity, size_t* n_tokens);
/* The bytes that a token stands for: not always whole UTF-8 characters, and none for control tokens. *bytes
 * lives until this thread's next call. */
VKMOE_API vkmoe_status vkmoe_token_bytes(const vkmoe_model* model, int32_t token, const char** bytes,
                                         size_t* n_bytes);
/* Whether the model ends its text with this token. */
VKMOE_API bool vkmoe_token_is_end(const vkmoe_model* model, int32_t token);

/* ---- sessions ---- */

typedef struct vkmoe_session vkmoe_session;

typedef enum vkmoe_kv_type { VKMOE_KV_F16 = 0, VKMOE_KV_F32 = 1, VKMOE_KV_Q8_0 = 2 } vkmoe_kv_type;

typedef struct vkmoe_session_params {
    size_t struct_size;
    uint32_t n_context;     /* tokens; 0: 4096, or what the model was trained for where that is less */
    uint32_t n_micro_batch; /* prompt tokens computed at once; 0: 512 */
    vkmoe_kv_type kv_type;
    bool profile;           /* measure GPU time by region: vkmoe_session_profile */
    bool router_statistics; /* keep figures of load balance: vkmoe_session_router_statistics. Costs some time
                             */
    uint32_t allow_nonfinite; /* other than 0: vkmoe_session_feed hands out logits that are NaN or infinite,
                                 in place of failing. vkmoe_session_generate fails all the same */
} vkmoe_session_params;

VKMOE_API void vkmoe_session_default_params(vkmoe_session_params* params, size_t struct_size);
VKMOE_API vkmoe_status vkmoe_session_create(vkmoe_model* model, const vkmoe_session_params* params,
                                            vkmoe_session** session);
VKMOE_API void vkmoe_session_free(vkmoe_session* session);

/* Computes n_tokens more tokens. logits: NULL, or room for n_tokens * n_vocabulary floats, the logits after
 * each of them. A token outside the vocabulary or more tokens than the context has room for:
 * VKMOE_INVALID_ARGUMENT, and nothing is computed. Logits that are NaN or infinite, of those that are handed
 * out: VKMOE_INTERNAL. Whatever fails, the session then holds, and has counted, what it did before. */
VKMOE_API vkmoe_status vkmoe_session_feed(vkmoe_session* session, const int32_t* tokens, size_t n_tokens,
                                          float* logits);
/* The logits after the last token fed, [n_vocabulary]; valid until the session's next call. */
VKMOE_API vkmoe_status vkmoe_session_logits(vkmoe_session* session, const float** logits);
/* How many tokens the session holds. */
VKMOE_API uint32_t vkmoe_session_position(const vkmoe_session* session);
/* Forgets all tokens from n_tokens on, so that others can follow the first n_tokens. Where there are none,
 * the logits stay. */
VKMOE_API vkmoe_status vkmoe_session_truncate(vkmoe_session* session, uint32_t n_tokens);

typedef struct vkmoe_sampling {
    size_t struct_size;
    float temperature;          /* 0: greedy. Default 0.8 */
    uint32_t top_k;             /* 0: all. Default 40 */
    float top_p;                /* 1: all. Default 0.95 */
    float min_p;                /* 0: all. Default 0.05 */
    float repetition_penalty;   /* 1: none. Default 1 */
    uint32_t repetition_window; /* tokens that the penalty looks back. Default 64 */
    uint64_t seed;   /* the same seed, prompt and settings give the same text on one device and driver */
    bool ignore_end; /* go on past end-of-text tokens */
} vkmoe_sampling;

VKMOE_API void vkmoe_sampling_default(vkmoe_sampling* sampling, size_t struct_size);

/* Called for each new token with its text: whole UTF-8 characters only (n_bytes may be 0, and the last call,
 * with token -1, brings what was held back). Return false to stop. */
typedef bool (*vkmoe_token_callback)(int32_t token, const char* text, size_t n_bytes, void* user);

/* Samples and feeds tokens until n_tokens are made, the text ends, the context is full or the callback stops
 * it. */
VKMOE_API vkmoe_status vkmoe_session_generate(vkmoe_session* session, const vkmoe_sampling* sampling,
                                              size_t n_tokens, vkmoe_token_callback callback, void* user);

typedef struct vkmoe_session_stats {
    size_t struct_size;
    uint64_t prompt_tokens;  /* given to vkmoe_session_feed, however many at a time */
    double prompt_seconds;   /* in which they were computed */
    uint64_t decoded_tokens; /* written by vkmoe_session_generate, an end-of-text token included */
    double decode_seconds;   /* in which they were computed; sampling and the callback do not count */
    uint64_t kv_bytes;       /* device memory of the KV cache */
} vkmoe_session_stats;

/* Set stats->struct_size first. */
VKMOE_API vkmoe_status vkmoe_session_get_stats(const vkmoe_session* session, vkmoe_session_stats* stats);

/* What the pager has and did since the model was loaded, for all of the model's sessions together; and the
 * model's memory. To see what a part of the work did, take the figures before and after it. */
typedef struct vkmoe_pager_stats {
    size_t struct_size;
    vkmoe_pager mode; /* VKMOE_PAGER_DEVICE or _HOST. VKMOE_PAGER_AUTO: all experts are resident, nothing is
                         paged, and the figures down to host_bytes are 0 */
    uint64_t n_slots; /* experts that device memory has room for */
    uint64_t slot_bytes;
    uint64_t n_records; /* experts of all layers */
    uint64_t record_bytes;
    uint64_t hits; /* experts that decoding wanted and that were in device memory */
    uint64_t misses;
    double hit_rate; /* hits of hits + misses; 0 where there were none */
    uint64_t evictions;
    uint64_t prefetched; /* fetched before they were wanted */
    uint64_t prefetched_used;
    uint64_t streamed;      /* fetched by prompt batches, which leave the slots as they are */
    uint64_t bytes_moved;   /* to device memory, for decoding, prefetching and batches */
    double seconds;         /* in which sessions computed */
    double seconds_stalled; /* of these, how long records were waited for: what misses and streamed ones take
                               at the link's speed, and waits for the file as they were measured */
    double link_bytes_per_second; /* the most that the link gave when the model was loaded */
    double link_share;            /* bytes_moved of what the link could have moved in those seconds */
    double stall_share;           /* seconds_stalled of seconds */
    uint64_t host_bytes;          /* host memory that holds experts */
    uint64_t vram_budget;         /* bytes; 0: none was set */
    uint64_t peak_device_bytes;   /* the most device memory that was ever taken */
} vkmoe_pager_stats;

/* Set stats->struct_size first. */
VKMOE_API vkmoe_status vkmoe_session_pager_stats(const vkmoe_session* session, vkmoe_pager_stats* stats);
/* How often each expert was chosen so far: counts, [n_layers, n_experts], rows of dense layers zero.
 * capacity: of counts. */
VKMOE_API vkmoe_status vkmoe_session_expert_counts(vkmoe_session* session, uint64_t* counts, size_t capacity);

/* How evenly a layer's router spreads tokens over the experts. */
typedef struct vkmoe_router_statistics {
    size_t struct_size;
    uint64_t n_tokens;           /* routed so far; 0 for a dense layer, whose figures are all 0 */
    const uint64_t* counts;      /* tokens that each expert got, [n_experts] */
    const double* probabilities; /* the mean over tokens of the router's probability of each, [n_experts] */
    double auxiliary_loss; /* Switch Transformer's: n_experts * the sum over experts of share * probability;
                              shares are those of all routes, so that 1 is even for any n_experts_used */
    double coefficient_of_variation; /* standard deviation of the counts over their mean; 0 is even */
    double max_over_mean;            /* the busiest expert's tokens over the mean; 1 is even */
    double entropy;                  /* of the shares in bits; log2(n_experts) is even */
} vkmoe_router_statistics;

/* Set statistics->struct_size first. The arrays live until the session's next call. VKMOE_INVALID_ARGUMENT
 * for a layer that there is not, a model without experts, and a session made without router_statistics. */
VKMOE_API vkmoe_status vkmoe_session_router_statistics(vkmoe_session* session, uint32_t layer,
                                                       vkmoe_router_statistics* statistics);
/* A table of GPU time by region; empty unless the session was made with profile. Valid until the session's
 * next call. */
VKMOE_API const char* vkmoe_session_profile(vkmoe_session* session);

#ifdef __cplusplus
}
#endif
#endif
