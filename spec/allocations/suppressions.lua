--- What other libraries lose or keep when an allocation fails, and we cannot help. Each with its
-- reason: what is left by `name` in `object`, `most` so many at a time, and only if what failed was
-- asked for by `failed_in`.

return {
    -- hiredis before 1.0: redisFormatSdsCommandArgv() makes an empty string, and forgets it if it
    -- cannot grow it to the command's length.
    { object = "libhiredis.so.0.14", name = "sdsnewlen", failed_in = "libhiredis", most = 1 },

    -- Details of an error, of which OpenSSL keeps up to 16 for each thread until it ends, for the
    -- next ones.
    { object = "libcrypto.so", name = "ERR_vset_error" },

    -- What OpenSSL 3.0 loses of what it was fetching or reading when it ran out of memory itself: a
    -- few pieces, where a session or a context of ours would be hundreds.
    { object = "libcrypto.so", failed_in = "libcrypto.so", most = 4 },
}
