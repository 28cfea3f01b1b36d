/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sole includer of xxhash.h, inlined: it is on the road of every hit.
 *
 * XXH3 with the segment's random 192-byte secret.
 *
 * The secret keeps a client from preparing keys that collide in the index. It
 * is not cryptography: whoever can read the segment knows the secret.
 */
#ifndef LARDER_BASE_HASH_H
#define LARDER_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { LARDER_SECRET_BYTES = 192 };

#define XXH_INLINE_ALL
#include <xxhash.h>

static __attribute__((noinline, unused)) uint64_t
larder_hash_long(const void *secret, const void *bytes, size_t n_bytes)
{
	return XXH3_64bits_withSecret(bytes, n_bytes, secret,
				      LARDER_SECRET_BYTES);
}

/* What a hit runs through is the short half alone. */
static inline uint64_t larder_hash(const void *secret, const void *bytes,
				   size_t n_bytes)
{
	if (n_bytes > 16)
		return larder_hash_long(secret, bytes, n_bytes);
	return XXH3_64bits_withSecret(bytes, n_bytes, secret,
				      LARDER_SECRET_BYTES);
}

/*
 * The same hash of 9 to 16 bytes, as most keys have, from what it makes of the
 * secret in every call: made once.
 */
static inline void larder_hash_flips(const void *secret, uint64_t flips[2])
{
	const unsigned char *s = secret;

	flips[0] = XXH_readLE64(s + 24) ^ XXH_readLE64(s + 32);
	flips[1] = XXH_readLE64(s + 40) ^ XXH_readLE64(s + 48);
}

static inline uint64_t larder_hash_flipped(const uint64_t flips[2],
					   const void *bytes, size_t n_bytes)
{
	const unsigned char *b = bytes;
	uint64_t low = XXH_readLE64(b) ^ flips[0];
	uint64_t high = XXH_readLE64(b + n_bytes - 8) ^ flips[1];

	return XXH3_avalanche(n_bytes + XXH_swap64(low) + high +
			      XXH3_mul128_fold64(low, high));
}

#endif
