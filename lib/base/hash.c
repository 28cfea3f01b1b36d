/* SPDX-License-Identifier: Apache-2.0 */
/* The sole includer of xxhash.h; inlined, it costs about 3 ns for a short key. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t larder_hash(const void *secret, const void *bytes, size_t n_bytes)
{
	return XXH3_64bits_withSecret(bytes, n_bytes, secret,
				      LARDER_SECRET_BYTES);
}
