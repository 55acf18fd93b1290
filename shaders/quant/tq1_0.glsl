// TQ1_0: blocks of 256 in 54 bytes: 52 bytes of ternary digits, float16 d. value = d * (digit - 1).
// A byte holds five digits as a fraction: digit n is the whole part of 3 * (byte * 3^n mod 256) / 256. Digit n of bytes
// 0..31 are elements 32n.., of bytes 32..47 elements 160 + 16n.., of bytes 48..51 (four digits) elements 240 + 4n...
#define VKMOE_OFFSETS 1
const uint CHUNK_RUNS = 2;

uint row_stride(uint n_columns) { return n_columns / 256u * 54u; }
uint run_block(uint chunk, uint run) { return chunk * 2u + run; }

const uint kPowersOf3[5] = uint[5](1u, 3u, 9u, 27u, 81u);

/// One digit of each byte; power: 3^n.
uint digits(uint word, uint power) {
    uint even = ((word & 0x00FF00FFu) * power) & 0x00FF00FFu;
    uint odd = (((word >> 8) & 0x00FF00FFu) * power) & 0x00FF00FFu;
    return (((even * 3u) >> 8) & 0x00030003u) | ((odd * 3u) & 0x03000300u);
}

void load_chunk(Row row, uint chunk, out Run runs[CHUNK_RUNS]) {
    RowReader reader = open_reader(row, (chunk >> 2) * 54u);
    float d = read_half(reader, 26u);
    [[unroll]] for (uint r = 0; r < 2; ++r) {
        uint run = (chunk & 3u) * 2u + r;
        bool narrow = run >= 5u;  // halves of 16: two digits of bytes 32..47, or one of them and bytes 48..51
        uint first_at = narrow ? 8u : 0u;
        uint first_power = kPowersOf3[narrow ? run * 2u - 10u : run];
        [[unroll]] for (uint i = 0; i < 4; ++i) {
            runs[r].q[i] = digits(read_word(reader, first_at + i), first_power);
        }
        if (run == 7u) {
            uint word = read_word(reader, 12u);
            [[unroll]] for (uint i = 0; i < 4; ++i) runs[r].q[4 + i] = digits(word, kPowersOf3[i]);
        } else {
            uint second_at = narrow ? 8u : 4u;
            uint second_power = narrow ? first_power * 3u : first_power;
            [[unroll]] for (uint i = 0; i < 4; ++i) {
                runs[r].q[4 + i] = digits(read_word(reader, second_at + i), second_power);
            }
        }
        runs[r].scale = vec2(d);
        runs[r].offset = vec2(d);
    }
}
