/* The C API in one page: loads a model, continues a text, prints it as it comes.
 *     vkmoe_minimal model.gguf "The package" */
#include <vkmoe/vkmoe.h>

#include <stdio.h>
#include <string.h>

enum { MAX_PROMPT = 1024, MAX_TEXT = 128 };

static bool print(int32_t token, const char* text, size_t n_bytes, void* user) {
    (void)token;
    (void)user;
    return fwrite(text, 1, n_bytes, stdout) == n_bytes && fflush(stdout) == 0;
}

static int failed(void) {
    fprintf(stderr, "%s\n", vkmoe_last_error());
    return 1;
}

static int continue_text(vkmoe_model* model, const char* prompt) {
    int32_t tokens[MAX_PROMPT];
    size_t n_tokens;
    vkmoe_session* session;
    vkmoe_sampling sampling;
    vkmoe_status status;

    if (vkmoe_tokenize(model, prompt, strlen(prompt), VKMOE_TOKENIZE_ADD_SPECIAL, tokens, MAX_PROMPT,
                       &n_tokens) != VKMOE_OK)
        return failed();
    if (vkmoe_session_create(model, NULL, &session) != VKMOE_OK) return failed();

    vkmoe_sampling_default(&sampling, sizeof sampling);
    sampling.seed = 1;
    status = vkmoe_session_feed(session, tokens, n_tokens, NULL);
    if (status == VKMOE_OK) {
        fputs(prompt, stdout);
        status = vkmoe_session_generate(session, &sampling, MAX_TEXT, print, NULL);
        putchar('\n');
    }
    vkmoe_session_free(session);
    return status == VKMOE_OK ? 0 : failed();
}

int main(int argc, char** argv) {
    vkmoe_model* model;
    int result;

    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL.gguf TEXT\n", argv[0]);
        return 2;
    }
    if (vkmoe_model_load(argv[1], NULL, &model) != VKMOE_OK) return failed();
    result = continue_text(model, argv[2]);
    vkmoe_model_free(model);
    return result;
}
