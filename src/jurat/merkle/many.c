/* Many SHA-256 in one call: out[k] = SHA256(prefix | rows[k] | pieces[k]).
 *
 * Only the loop is ours. The hash is the one that Python's hashlib uses: its three functions are handed in, so nothing is
 * linked here and no header is needed. Called through ctypes, which lets the interpreter go on meanwhile.
 */
#include <stddef.h>
#include <stdint.h>

typedef int (*start_fn)(void *context);
typedef int (*update_fn)(void *context, const void *data, size_t size);
typedef int (*finish_fn)(unsigned char *digest, void *context);

/* `rows`: count * width bytes; `ends`: where each piece ends in `pieces`, ascending, or NULL for no pieces at all.
 * Returns 0, or -1 if a piece would not lie in `pieces`, or the library refused: then `out` means nothing. */
int jurat_hash_many(start_fn start, update_fn update, finish_fn finish, const unsigned char *prefix, size_t prefix_size,
                    const unsigned char *rows, size_t width, const unsigned char *pieces, size_t pieces_size, const uint64_t *ends,
                    size_t count, unsigned char *out) {
    _Alignas(64) unsigned char context[512]; /* a SHA256_CTX has 112 bytes */
    size_t begin = 0;
    for (size_t k = 0; k < count; k++) {
        if (!start(context) || !update(context, prefix, prefix_size)) return -1;
        if (width && !update(context, rows + k * width, width)) return -1;
        if (ends) {
            if (ends[k] < begin || ends[k] > pieces_size) return -1;
            if (!update(context, pieces + begin, ends[k] - begin)) return -1;
            begin = ends[k];
        }
        if (!finish(out + 32 * k, context)) return -1;
    }
    return 0;
}
