// The published pre-tokenizers. Each list of rules is the pre_tokenizer of the tokenizer.json (or the pattern
// of the tiktoken file) of the model named above it; "Digits" steps are written as \p{N}, and what PCRE2
// spells otherwise than the original's engine is said there.

#include <array>

#include "text/pre_tokenizer.h"

namespace vkmoe {
namespace {

using namespace std::string_view_literals;

#define VKMOE_CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define VKMOE_GPT2_WORDS R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"
#define VKMOE_SPACES R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define VKMOE_UPPER_WORD R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
#define VKMOE_LOWER_WORD R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"

// openai-community/gpt2: ByteLevel with its own expression. The same in allenai/OLMo-1.7, OLMoE and
// mosaicml/mpt, whose normalizer is NFC.
constexpr std::array kGpt2Rules = {VKMOE_GPT2_WORDS ""sv};
constexpr std::array kGpt2Names = {"gpt-2"sv, "phi-2"sv,    "gigachat"sv,        "a.x-4.0"sv, "mellum"sv,
                                   "jais"sv,  "trillion"sv, "granite-docling"sv, "exaone4"sv};
constexpr std::array kOlmoNames = {"olmo"sv, "mpt"sv};

// bigcode/starcoder2-3b, HuggingFaceTB/SmolLM, LGAI-EXAONE/EXAONE-3.0: single digits, then ByteLevel's
// expression. CohereForAI/c4ai-command-r-v01 is the same with NFC.
constexpr std::array kSingleDigitGpt2Rules = {R"(\p{N})"sv, VKMOE_GPT2_WORDS ""sv};
constexpr std::array kStarcoderNames = {"starcoder"sv, "refact"sv,     "smollm"sv, "codeshell"sv,
                                        "exaone"sv,    "minerva-7b"sv, "mellum2"sv};
constexpr std::array kCommandRNames = {"command-r"sv};

// tiiuae/falcon-7b: contiguous punctuation, ByteLevel's expression, digits by three. That file applies its
// last step to the byte-level characters, so that it also cuts at six non-ASCII bytes; that is not done here.
constexpr std::array kFalconRules = {R"([\p{P}$+<=>^~|`]+)"sv, VKMOE_GPT2_WORDS ""sv, "[0-9][0-9][0-9]"sv};
constexpr std::array kFalconNames = {"falcon"sv};

// What llama.cpp applies to files that say "default" or nothing: falcon's with digits apart and no back-tick.
constexpr std::array kDefaultRules = {R"([\p{P}$+<=>^~|]+)"sv, VKMOE_GPT2_WORDS ""sv, R"(\p{N}+)"sv,
                                      "[0-9][0-9][0-9]"sv};
constexpr std::array kDefaultNames = {"default"sv, ""sv};

// meta-llama/Meta-Llama-3-8B; databricks/dbrx-base and THUDM/glm-4-9b (GLM-4.5 and later too) have its
// expression.
constexpr std::array kLlama3Rules = {
    VKMOE_CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" VKMOE_SPACES ""sv};
constexpr std::array kLlama3Names = {"llama-bpe"sv, "llama3"sv,  "llama-v3"sv, "falcon3"sv,
                                     "falcon-h1"sv, "pixtral"sv, "midm-2.0"sv, "lfm2"sv};
constexpr std::array kDbrxNames = {"dbrx"sv, "smaug-bpe"sv, "glm4"sv, "chatglm-bpe"sv};

// inceptionai/Jais-2-8B-Chat: as Llama 3, white space in powers of two. The look-behind before \s*[\r\n]+
// changes no match: after a power of two the run of white space was already found to have no line break.
// Without it the rest of the run is searched again from every 512 characters.
constexpr std::array kJais2Rules = {
    VKMOE_CONTRACTION
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|(?<![^\S\r\n])\s*[\r\n]+)"
    R"(|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1})"sv};
constexpr std::array kJais2Names = {"jais-2"sv};

// Qwen/Qwen1.5-7B to Qwen3 (MoE models too), with NFC. tencent/Hunyuan-A13B normalizes in its Python
// tokenizer. stabilityai/stablelm-2, alvarobartt/grok-2-tokenizer and upstage/Solar-Open have the expression
// without NFC.
constexpr std::array kQwen2Rules = {
    VKMOE_CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)" VKMOE_SPACES ""sv};
constexpr std::array kQwen2Names = {"qwen2"sv, "deepseek-r1-qwen"sv, "hunyuan"sv, "megrez"sv,
                                    "kormo"sv, "f2llmv2"sv};
constexpr std::array kGrok2Names = {"grok-2"sv, "stablelm2"sv, "solar-open"sv};

// Qwen/Qwen3.5 and Qwen3-Next's successors: marks belong to words. NFC.
constexpr std::array kQwen35Rules = {
    VKMOE_CONTRACTION R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" VKMOE_SPACES
                      ""sv};
constexpr std::array kQwen35Names = {"qwen35"sv};

// deepseek-ai/deepseek-llm-7b-base, also of DeepSeek-V2 and V2-Lite. The second rule is its list of cased
// letters (Latin, Greek, Cyrillic, Armenian, Georgian, Cherokee, ... as of Unicode 11). \s+$ has a
// look-behind here that changes no match and keeps long runs of white space from costing the square of their
// length.
constexpr std::array kDeepseekLlmRules = {
    R"([\r\n])"sv,
    R"(\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"
    R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+)"sv,
    R"(\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+)"sv,
    R"((?<!\s)\s+$)"sv,
    R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)"sv,
    R"(\p{N})"sv};
constexpr std::array kDeepseekLlmNames = {"deepseek-llm"sv};

// deepseek-ai/deepseek-coder-6.7b-base.
constexpr std::array kDeepseekCoderRules = {R"([\r\n])"sv, R"(\s?\p{L}+)"sv, R"(\s?\p{P}+)"sv,
                                            R"([\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+)"sv,
                                            R"(\p{N})"sv};
constexpr std::array kDeepseekCoderNames = {"deepseek-coder"sv};

// deepseek-ai/DeepSeek-V3; tencent/Hunyuan-4B and jdopensource/JoyAI-LLM-Flash have the same.
#define VKMOE_DEEPSEEK_V3_WORDS                                                               \
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)" \
    R"(| ?[\p{P}\p{S}]+[\r\n]*)" VKMOE_SPACES
constexpr std::array kDeepseekV3Rules = {R"(\p{N}{1,3})"sv,
                                         R"([\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)"sv,
                                         VKMOE_DEEPSEEK_V3_WORDS ""sv};
constexpr std::array kDeepseekV3Names = {"deepseek-v3"sv, "hunyuan-dense"sv, "joyai-llm"sv};

// arcee-ai/Trinity-Tokenizer: digits in threes from the right, then more scripts apart, then DeepSeek-V3's
// words. Its digit rule is written as two: runs of digits, then what stands before a multiple of three and
// the threes.
constexpr std::array kAfmoeRules = {
    R"(\p{N}+)"sv, R"(^\p{N}{1,2}(?=(?:\p{N}{3})*+\z)|\p{N}{3})"sv,
    R"([\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{F900}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF}\x{FF65}-\x{FF9F})"
    R"(\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F})"
    R"(\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+)"sv,
    VKMOE_DEEPSEEK_V3_WORDS ""sv};
constexpr std::array kAfmoeNames = {"afmoe"sv};

// Xenova/gpt-4o and openai/gpt-oss; meta-llama/Llama-4-Scout-17B-16E; MiniMaxAI/MiniMax-M2.
constexpr std::array kGpt4oRules = {VKMOE_UPPER_WORD VKMOE_CONTRACTION
                                    "?|" VKMOE_LOWER_WORD VKMOE_CONTRACTION
                                    R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" VKMOE_SPACES ""sv};
constexpr std::array kGpt4oNames = {"gpt-4o"sv, "llama4"sv, "kanana2"sv, "minimax-m2"sv};

// CohereLabs/tiny-aya-base: digits in threes from the right where a word boundary follows, then gpt-4o's.
// Its digit rule looks ahead to the end of the run from every group, which costs the square of the run's
// length. It is written as two here: whole runs that a word boundary ends, then such a run's groups, of which
// \G ties each to the one before. The characters of words are spelled out, as the original's engine has a
// wider notion of them than PCRE2.
constexpr std::array kTinyAyaRules = {
    R"((?<!\d)\d++(?![\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}]))"sv,
    R"(\A\d{1,3}(?=(?:\d{3})*+\z)|\G(?!\A)\d{3})"sv, kGpt4oRules[0]};
constexpr std::array kTinyAyaNames = {"tiny_aya"sv, "cohere2moe"sv};

// mistralai/Mistral-Nemo-Base-2407.
constexpr std::array kTekkenRules = {
    VKMOE_UPPER_WORD "|" VKMOE_LOWER_WORD R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" VKMOE_SPACES ""sv};
constexpr std::array kTekkenNames = {"tekken"sv};

// moonshotai/Kimi-K2 (tokenization_kimi.py). Its class intersections "upper, other or mark, and not Han" are
// written as complements over the general categories, as PCRE2 has no intersections.
#define VKMOE_KIMI_UPPER R"([^\p{Ll}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}])"
#define VKMOE_KIMI_LOWER R"([^\p{Lu}\p{Lt}\p{N}\p{P}\p{S}\p{Z}\p{C}\p{sc:Han}])"
constexpr std::array kKimiRules = {R"(\p{sc:Han}+|[^\r\n\p{L}\p{N}]?)" VKMOE_KIMI_UPPER "*" VKMOE_KIMI_LOWER
                                   "+" VKMOE_CONTRACTION R"(?|[^\r\n\p{L}\p{N}]?)" VKMOE_KIMI_UPPER
                                   "+" VKMOE_KIMI_LOWER "*" VKMOE_CONTRACTION
                                   R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" VKMOE_SPACES ""sv};
constexpr std::array kKimiNames = {"kimi-k2"sv};

// inclusionAI/Ling-lite and Ling-mini-2.0; LLaDA-MoE.
constexpr std::array kBailingRules = {
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"sv};
constexpr std::array kBailingNames = {"bailingmoe"sv, "bailingmoe2"sv, "llada-moe"sv};

// ByteDance-Seed/Seed-Coder-8B-Base.
constexpr std::array kSeedCoderRules = {
    VKMOE_CONTRACTION R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)" VKMOE_SPACES ""sv};
constexpr std::array kSeedCoderNames = {"seed-coder"sv};

// LGAI-EXAONE/K-EXAONE-236B-A23B: a token may span several words of single letters. The original spells the
// repetition (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+, which matches the same and takes memory for every letter.
constexpr std::array kExaoneMoeRules = {
    VKMOE_CONTRACTION
    R"(|[^\r\n\p{L}\p{N}]?\p{L}\p{M}*+(?: ?\p{L}\p{M}*+)*+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?)"
    R"(|\s*[\r\n]|\s+(?!\S)|\s+)"sv};
constexpr std::array kExaoneMoeNames = {"exaone-moe"sv};

// tencent/Youtu-LLM: Hangul, East Asian punctuation, Bopomofo and Han with Kana apart, then gpt-4o's, single
// digits.
constexpr std::array kYoutuRules = {
    R"([\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A})"
    R"(\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+)"
    R"(|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+)"sv,
    VKMOE_UPPER_WORD VKMOE_CONTRACTION "?|" VKMOE_LOWER_WORD VKMOE_CONTRACTION
                                       R"(?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" VKMOE_SPACES ""sv};
constexpr std::array kYoutuNames = {"youtu"sv};

// names, rules, NFC, ignore_merges, add_bos
constexpr std::array kSpecs = {
    PreTokenizerSpec{kDefaultNames, kDefaultRules, false, false, false},
    PreTokenizerSpec{kGpt2Names, kGpt2Rules, false, false, false},
    PreTokenizerSpec{kOlmoNames, kGpt2Rules, true, false, false},
    PreTokenizerSpec{kStarcoderNames, kSingleDigitGpt2Rules, false, false, false},
    PreTokenizerSpec{kCommandRNames, kSingleDigitGpt2Rules, true, false, false},
    PreTokenizerSpec{kFalconNames, kFalconRules, false, false, false},
    PreTokenizerSpec{kLlama3Names, kLlama3Rules, false, true, true},
    PreTokenizerSpec{kDbrxNames, kLlama3Rules, false, false, false},
    PreTokenizerSpec{kJais2Names, kJais2Rules, false, false, false},
    PreTokenizerSpec{kQwen2Names, kQwen2Rules, true, false, false},
    PreTokenizerSpec{kGrok2Names, kQwen2Rules, false, false, false},
    PreTokenizerSpec{kQwen35Names, kQwen35Rules, true, false, false},
    PreTokenizerSpec{kDeepseekLlmNames, kDeepseekLlmRules, false, false, false},
    PreTokenizerSpec{kDeepseekCoderNames, kDeepseekCoderRules, false, false, false},
    PreTokenizerSpec{kDeepseekV3Names, kDeepseekV3Rules, false, false, false},
    PreTokenizerSpec{kAfmoeNames, kAfmoeRules, false, false, false},
    PreTokenizerSpec{kGpt4oNames, kGpt4oRules, false, false, false},
    PreTokenizerSpec{kTinyAyaNames, kTinyAyaRules, false, false, false},
    PreTokenizerSpec{kTekkenNames, kTekkenRules, false, true, true},
    PreTokenizerSpec{kKimiNames, kKimiRules, false, false, false},
    PreTokenizerSpec{kBailingNames, kBailingRules, false, false, false},
    PreTokenizerSpec{kSeedCoderNames, kSeedCoderRules, false, false, false},
    PreTokenizerSpec{kExaoneMoeNames, kExaoneMoeRules, false, false, false},
    PreTokenizerSpec{kYoutuNames, kYoutuRules, false, true, false},
};

}  // namespace

std::span<const PreTokenizerSpec> pre_tokenizer_specs() {
    return kSpecs;
}

}  // namespace vkmoe
