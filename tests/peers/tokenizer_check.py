#!/usr/bin/env python3
"""Holds vkmoe's tokenizers to Hugging Face's `tokenizers` (and, if given, to SentencePiece and llama.cpp).

For every pre-tokenizer: builds the published one with `tokenizers`, trains a small byte-level BPE vocabulary with it,
writes the vocabulary as GGUF and compares the ids that tokenizer_dump gives. Needs the Python packages tokenizers and
gguf. It is run by hand:

    tokenizer_check.py --dump BUILD/tests/unit/tokenizer_dump --samples tests/peers/tokenizer_samples.txt TEXT...

Known differences, which the cases keep clear of:
- falcon's published file cuts digits after the byte-level step, so it also cuts at bytes whose stand-in is a
  superscript or a fraction; vkmoe and llama.cpp cut the text. Held here to the rules that vkmoe states.
- Characters that the Unicode version of one regular-expression engine knows and the other's does not.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6

CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES
QWEN2 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES
QWEN35 = CONTRACTION + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + SPACES
UPPER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
LOWER_WORD = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
GPT4O = (UPPER_WORD + CONTRACTION + "?|" + LOWER_WORD + CONTRACTION + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES)
TEKKEN = UPPER_WORD + "|" + LOWER_WORD + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES
YOUTU = UPPER_WORD + CONTRACTION + "?|" + LOWER_WORD + CONTRACTION + r"?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + SPACES
NOT_HAN_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
NOT_HAN_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI = (r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?" + NOT_HAN_UPPER + "*" + NOT_HAN_LOWER + "+" + CONTRACTION
        + r"?|[^\r\n\p{L}\p{N}]?" + NOT_HAN_UPPER + "+" + NOT_HAN_LOWER + "*" + CONTRACTION
        + r"?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + SPACES)
DEEPSEEK_V3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
               + r"| ?[\p{P}\p{S}]+[\r\n]*" + SPACES)
CASED = ("A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1F7Dᾀ-ᾴᾶ-ᾼ\u1FBE"
         "ῂ-ῄῆ-ῌῐ-\u1FD3ῖ-\u1FDBῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212A-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗ"
         "Ａ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")
CJK_DEEPSEEK = "[一-龥ࠀ-一가-\uD7FF]+"
KANA_HAN = "[一-龥぀-ゟ゠-ヿ]+"
AFMOE_SCRIPTS = "[一-鿿㐀-䶿\uF900-\uFAFF぀-ゟ゠-ヿ･-ﾟ⼀-⿟\u0E40-\u0E7F\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF가-\uD7AF\u1100-\u11FF]+"


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def gpt2(*before):
    return pre_tokenizers.Sequence([*before, byte_level(True)])


def rules(*patterns):
    return pre_tokenizers.Sequence([*map(split, patterns), byte_level(False)])


def digits():
    return pre_tokenizers.Digits(individual_digits=True)


GPT2_RULE = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
PUNCTUATION = pre_tokenizers.Punctuation(behavior="contiguous")

# name: (pre_tokenizer, NFC, ignore_merges)
FAMILIES = {
    "default": (rules(r"[\p{P}\$\+<=>\^~\|]+", GPT2_RULE, r"\p{N}+", "[0-9][0-9][0-9]"), False, False),
    "gpt-2": (gpt2(), False, False),
    "olmo": (gpt2(), True, False),
    "starcoder": (gpt2(digits()), False, False),
    "command-r": (gpt2(digits()), True, False),
    "falcon": (pre_tokenizers.Sequence([PUNCTUATION, split(GPT2_RULE), split("[0-9][0-9][0-9]"), byte_level(False)]),
               False, False),
    "llama-bpe": (rules(LLAMA3), False, True),
    "dbrx": (rules(LLAMA3), False, False),
    "glm4": (rules(LLAMA3), False, False),
    "jais-2": (rules(LLAMA3.removesuffix(r"|\s+(?!\S)|\s+") + "".join(
        r"|\s{%d}(?!\S)" % n for n in (512, 256, 128, 64, 32, 16, 8, 4)) + r"|\s{1,2}(?!\S)|\s{1}"), False, False),
    "qwen2": (rules(QWEN2), True, False),
    "hunyuan": (rules(QWEN2), True, False),
    "grok-2": (rules(QWEN2), False, False),
    "qwen35": (rules(QWEN35), True, False),
    "deepseek-llm": (pre_tokenizers.Sequence([
        split("[\r\n]"), split(r"\s?[" + CASED + "]+"), split(r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"), split(r"\s+$"),
        split(CJK_DEEPSEEK), digits(), byte_level(False)]), False, False),
    "deepseek-coder": (pre_tokenizers.Sequence([
        split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(CJK_DEEPSEEK), digits(), byte_level(False)]),
        False, False),
    "deepseek-v3": (rules(r"\p{N}{1,3}", KANA_HAN, DEEPSEEK_V3), False, False),
    "hunyuan-dense": (rules(r"\p{N}{1,3}", KANA_HAN, DEEPSEEK_V3), False, False),
    "afmoe": (rules(r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))", AFMOE_SCRIPTS, DEEPSEEK_V3), False, False),
    "gpt-4o": (rules(GPT4O), False, False),
    "llama4": (rules(GPT4O), False, False),
    "minimax-m2": (rules(GPT4O), False, False),
    "tiny_aya": (rules(r"\d{1,3}(?=(?:\d{3})*\b)", GPT4O), False, False),
    "tekken": (rules(TEKKEN), False, True),
    "kimi-k2": (rules(KIMI), False, False),
    "bailingmoe": (rules(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
                         r"|\s+(?!\S)|\s+"), False, False),
    "seed-coder": (rules(CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+" + SPACES),
                   False, False),
    "exaone-moe": (rules(CONTRACTION + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
                         r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"), False, False),
    "youtu": (rules("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + KANA_HAN, YOUTU), False, True),
}

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im|>"]
USER_DEFINED_TEXTS = ["<think>", "<think>>", "\t\t"]


def make_cases(samples):
    """Texts to compare: the samples in whole and by line, white space, digits, and random mixtures."""
    cases = ["", " ", "  ", "\n", "a", samples, samples.replace("\n", "\r\n")] + samples.splitlines()
    spaces = ["\t", "\n", "\v", "\f", "\r", " ", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u180e", "\u2000", "\u2003",
              "\u2009", "\u200a", "\u200b", "\u200d", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff", "\0"]
    cases += ["a".join(spaces), " ".join(spaces), "".join(spaces) + "b", "x" + "".join(reversed(spaces))]
    cases += ["\n".join(f"{' ' * n}x{' ' * n}" for n in range(70)), " " * 600 + "x" + " " * 600, "\n" * 40 + "\r\n" * 9]
    cases += [" ".join("1234567890"[:n % 11] * (n // 11 + 1) for n in range(1, 60)), "x" + "7" * 500 + "y"]
    cases += ["a<|im_start|>user\nhi<|im_end|>\n<|im|><|im_<think>>><think> \t\t\t<|endoftext|> b"]
    pool = [*samples, *spaces, *"  \n\n''\"0123456789aAbBéÉ", *SPECIAL, *USER_DEFINED_TEXTS, "'s", "'LL", "'ve", " ", "  ",
            "\r\n", "e\u0301", "\u0345", "ſ", "K", "\u0903", "\uac00\u11a8", "\U000e0041", "\u2581"]
    generator = random.Random(20240)
    for _ in range(600):
        cases.append("".join(generator.choice(pool) for _ in range(generator.randrange(1, 60))))
    return cases


def write_gguf(path, model, pre, tokens, types, merges=None, scores=None, unknown=None):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model(model)
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores(scores)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def dump(args, model, special, paths):
    command = [args.dump, str(model)] + (["--special"] if special else []) + [str(path) for path in paths]
    environment = dict(os.environ, LD_LIBRARY_PATH=str(args.libraries)) if args.libraries else None
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command[:2])}: {result.stderr.strip()[:400]}")
    return [json.loads(line) for line in result.stdout.splitlines()]


def report(name, cases, expected, got, spell):
    """Counts the cases whose ids differ and shows the first."""
    wrong = [i for i, (a, b) in enumerate(zip(expected, got)) if a != b]
    tokens = sum(map(len, expected))
    print(f"{name:30} {len(cases) - len(wrong):4} of {len(cases)} texts the same, {tokens} tokens", flush=True)
    for i in wrong[:2]:
        at = next((k for k, (a, b) in enumerate(zip(expected[i], got[i])) if a != b), min(len(expected[i]), len(got[i])))
        window = slice(max(at - 2, 0), at + 6)
        print(f"    text {i} {cases[i][:60]!r}, token {at}:")
        print(f"      expected {[spell(t) for t in expected[i][window]]}")
        print(f"      got      {[spell(t) for t in got[i][window]]}")
    return len(wrong)


def train_byte_level(pre_tokenizer, nfc, ignore_merges, texts):
    trained = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    trained.pre_tokenizer = pre_tokenizer
    if nfc:
        trained.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=3000, show_progress=False, min_frequency=2,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    trained.train_from_iterator(texts, trainer)
    trained.add_special_tokens(SPECIAL)
    trained.add_tokens([AddedToken(text, normalized=False) for text in USER_DEFINED_TEXTS])
    return trained


def check_byte_level(name, args, texts, cases, paths, folder):
    pre_tokenizer, nfc, ignore_merges = FAMILIES[name]
    trained = train_byte_level(pre_tokenizer, nfc, ignore_merges, texts)
    model = json.loads(trained.to_str())["model"]
    tokens = [trained.id_to_token(i) for i in range(trained.get_vocab_size())]
    kinds = {**dict.fromkeys(SPECIAL, CONTROL), **dict.fromkeys(USER_DEFINED_TEXTS, USER_DEFINED)}
    merges = [" ".join(pair) for pair in model["merges"]]
    if ignore_merges:  # make the flag matter: every third merge is gone, its token is not
        merges = [merge for i, merge in enumerate(merges) if i % 3 or i < 1500]
        model["merges"] = [merge.split(" ") for merge in merges]
        trained = Tokenizer.from_str(json.dumps({**json.loads(trained.to_str()), "model": model}))
    path = folder / f"{name}.gguf"
    write_gguf(path, "gpt2", name, tokens, [kinds.get(token, NORMAL) for token in tokens], merges)
    wrong = 0
    for special in (True, False):
        trained.encode_special_tokens = not special
        expected = [encoding.ids for encoding in trained.encode_batch(cases, add_special_tokens=False)]
        got = dump(args, path, special, paths)
        wrong += report(name if special else name + ", specials as text", cases, expected, got, trained.id_to_token)
    return wrong


def check_sentencepiece(args, texts, cases, paths, folder):
    """A Llama-2-like vocabulary: merges made from the pieces, as Hugging Face's converter makes them."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    alphabet = sorted({c for c in "".join(texts[:1]) if c.isascii() and c.isprintable() and c != " "})
    trainer = trainers.BpeTrainer(vocab_size=2500, show_progress=False, initial_alphabet=alphabet, limit_alphabet=300)
    trained.train_from_iterator(texts, trainer)
    learned = [trained.id_to_token(i) for i in range(trained.get_vocab_size())]
    single = [token for token in learned if len(token) == 1]
    joined = [token for token in learned if len(token) > 1]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + joined + single
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(joined) + len(single))
    scores = [0.0] * 259 + [-float(i) for i in range(len(joined))] + [-float(len(joined) + i) for i in range(len(single))]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    known = set(joined) | set(single)
    merges = [(token[:k], token[k:]) for token in joined for k in range(1, len(token))
              if token[:k] in known and token[k:] in known]
    model = models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    reference = Tokenizer(model)
    reference.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    reference.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    path = folder / "sentencepiece.gguf"
    write_gguf(path, "llama", None, tokens, types, scores=scores)
    expected = [encoding.ids for encoding in reference.encode_batch(cases, add_special_tokens=False)]
    got = dump(args, path, False, paths)
    wrong = report("llama (SentencePiece)", cases, expected, got, reference.id_to_token)
    return wrong + check_llama_cpp(args, path, cases, paths, got, reference.id_to_token)


def check_llama_cpp(args, model, cases, paths, got, spell):
    """llama.cpp reads one text at a time and ends at a NUL, so it gets the samples' lines."""
    if not args.llama_tokenize:
        return 0
    chosen = [i for i, case in enumerate(cases[:40]) if case and "\0" not in case]
    expected = []
    for i in chosen:
        output = subprocess.run([args.llama_tokenize, "-m", str(model), "-f", str(paths[i]), "--ids", "--no-bos",
                                 "--no-escape", "--no-parse-special", "--log-disable"],
                                capture_output=True, text=True, check=True).stdout
        expected.append(json.loads(output))
    return report("llama, against llama.cpp", [cases[i] for i in chosen], expected, [got[i] for i in chosen], spell)


def check_invalid_utf8(args, folder):
    """tokenizer_dump fails when a text does not come back byte for byte."""
    generator = random.Random(5)
    paths = []
    for i in range(100):
        path = folder / f"invalid-{i}.txt"
        path.write_bytes(bytes(generator.choice([generator.randrange(256), 0x20, 0x61, 0xE4, 0xB8, 0xAD])
                               for _ in range(200)))
        paths.append(path)
    models_made = sorted(folder.glob("*.gguf"))
    for model in models_made:
        dump(args, model, False, paths)
    print(f"{'invalid UTF-8':30} {len(paths)} texts come back byte for byte with {len(models_made)} vocabularies")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dump", required=True, help="the program tokenizer_dump")
    parser.add_argument("--libraries", help="folder of tokenizer_dump's shared libraries, where this system has others")
    parser.add_argument("--samples", required=True, type=pathlib.Path, help="tokenizer_samples.txt")
    parser.add_argument("--llama-tokenize", help="llama.cpp's llama-tokenize, a second reference for SentencePiece")
    parser.add_argument("--only", help="one pre-tokenizer")
    parser.add_argument("texts", nargs="+", type=pathlib.Path, help="text to train the vocabularies on")
    args = parser.parse_args()

    samples = args.samples.read_text(encoding="utf-8")
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in args.texts] + [samples] * 8
    cases = make_cases(samples)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        paths = []
        for i, case in enumerate(cases):
            paths.append(folder / f"{i}.txt")
            paths[-1].write_bytes(case.encode("utf-8"))
        names = [args.only] if args.only else list(FAMILIES)
        wrong = sum(check_byte_level(name, args, texts, cases, paths, folder) for name in names)
        if not args.only:
            wrong += check_sentencepiece(args, texts, cases, paths, folder)
        check_invalid_utf8(args, folder)
    print("all the same" if wrong == 0 else f"{wrong} texts differ")
    return 0 if wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
