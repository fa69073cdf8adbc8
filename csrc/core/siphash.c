/* Four words of state; each word of the message is stirred in with two rounds, and the end with
 * four. Words are read with their lowest byte first, whatever the machine's order. */
#include "core/siphash.h"

struct state {
    uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static void stir(struct state *s, int rounds)
{
    while (rounds-- > 0) {
        s->a += s->b;
        s->c += s->d;
        s->b = rotate(s->b, 13) ^ s->a;
        s->d = rotate(s->d, 16) ^ s->c;
        s->a = rotate(s->a, 32);
        s->c += s->b;
        s->a += s->d;
        s->b = rotate(s->b, 17) ^ s->c;
        s->d = rotate(s->d, 21) ^ s->a;
        s->c = rotate(s->c, 32);
    }
}

static void take_in(struct state *s, uint64_t word)
{
    s->d ^= word;
    stir(s, 2);
    s->a ^= word;
}

static uint64_t read_word(const char *bytes, size_t len)
{
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)(unsigned char)bytes[i] << (8 * i);
    return word;
}

uint64_t rlk_siphash(const uint64_t secret[2], const char *bytes, size_t len)
{
    /* "somepseudorandomlygeneratedbytes" */
    struct state s = {
        secret[0] ^ UINT64_C(0x736f6d6570736575), secret[1] ^ UINT64_C(0x646f72616e646f6d),
        secret[0] ^ UINT64_C(0x6c7967656e657261), secret[1] ^ UINT64_C(0x7465646279746573)};
    size_t whole = len - len % 8;
    for (size_t i = 0; i < whole; i += 8)
        take_in(&s, read_word(bytes + i, 8));
    take_in(&s, read_word(bytes + whole, len % 8) | (uint64_t)len << 56);
    s.c ^= 0xff;
    stir(&s, 4);
    return s.a ^ s.b ^ s.c ^ s.d;
}
