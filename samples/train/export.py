"""Writes a trained model and its tokenizer as a GGUF file that llama.cpp and vkmoe read (architecture qwen3moe)."""

import json
import os

import gguf
import numpy as np

END_OF_TEXT = "<|endoftext|>"
# One of these a layer: GGUF's name -> the module's. Vectors and routers stay F32, as in llama.cpp's own files.
LAYER = {
    "attn_norm": "attention_norm.weight",
    "attn_q": "attention.q.weight",
    "attn_k": "attention.k.weight",
    "attn_v": "attention.v.weight",
    "attn_output": "attention.out.weight",
    "attn_q_norm": "attention.q_norm.weight",
    "attn_k_norm": "attention.k_norm.weight",
    "ffn_norm": "experts_norm.weight",
    "ffn_gate_inp": "experts.router.weight",
    "ffn_gate_exps": "experts.gate",
    "ffn_up_exps": "experts.up",
    "ffn_down_exps": "experts.down",
}
FLOAT32 = ("norm", "ffn_gate_inp")


def write_gguf(path, model, tokenizer, context, name):
    """Writes beside `path` and renames, so that a file of that name is always whole."""
    s = model.s
    part = f"{path}.part"
    writer = gguf.GGUFWriter(part, "qwen3moe")
    writer.add_type("model")
    writer.add_name(name)
    writer.add_block_count(s.layers)
    writer.add_context_length(context)
    writer.add_embedding_length(s.hidden)
    writer.add_feed_forward_length(s.expert_hidden * s.experts_used)
    writer.add_expert_feed_forward_length(s.expert_hidden)
    writer.add_head_count(s.heads)
    writer.add_head_count_kv(s.kv_heads)
    writer.add_key_length(s.head_dim)
    writer.add_value_length(s.head_dim)
    writer.add_rope_freq_base(s.rope_base)
    writer.add_layer_norm_rms_eps(s.norm_eps)
    writer.add_expert_count(s.experts)
    writer.add_expert_used_count(s.experts_used)
    writer.add_vocab_size(s.vocab)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_tokenizer(writer, tokenizer)

    weights = {key: value.detach().float().numpy() for key, value in model.state_dict().items()}
    add_tensor(writer, "token_embd", weights["embedding.weight"])
    add_tensor(writer, "output_norm", weights["norm.weight"])
    for layer in range(s.layers):
        for theirs, ours in LAYER.items():
            add_tensor(writer, f"blk.{layer}.{theirs}", weights[f"blocks.{layer}.{ours}"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(part, path)


def add_tensor(writer, name, values):
    writer.add_tensor(f"{name}.weight", values.astype(np.float32 if name.endswith(FLOAT32) else np.float16))


def add_tokenizer(writer, tokenizer):
    bpe = json.loads(tokenizer.to_str())["model"]
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in bpe["merges"]]
    end = tokenizer.token_to_id(END_OF_TEXT)
    kinds = [gguf.TokenType.CONTROL if token == END_OF_TEXT else gguf.TokenType.NORMAL for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
