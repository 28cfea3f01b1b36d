/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write changes, touch and increment: read what is there, store a
 * successor of it by CAS on its version, keeping tags and expiry. A reader sees
 * the one or the other, whole; a change that another overtook is made again.
 */
#include "cache/write.h"

#include <stdlib.h>
#include <string.h>

struct successor {
	struct larder_info info;
	uint64_t counter;
	uint64_t hard_ms, soft_ms, cost_ns, stamp;
	struct tag_block *tags; /* owned */
	unsigned char *value;	/* owned; only if wanted */
	size_t n_value;
	unsigned flags;
};

static void successor_free(struct successor *n)
{
	free(n->tags);
	free(n->value);
}

/* Copy what the successor needs of the valid entry there. */
static int successor_read(struct worker *w, const void *key, size_t n_key,
			  uint64_t hash, bool with_value, struct successor *n)
{
	for (;;) {
		struct lookup found;
		struct tag_block block = {0};
		size_t tag_bytes = 0, n_value;
		int result;

		larder_pin(w);
		n->stamp = larder_fresh_now(w->s) & STAMP_MASK;
		result = larder_lookup(w, key, n_key, hash, &found);
		if (result == LARDER_OK && found.v.tags) {
			memcpy(&block, found.v.tags, sizeof block);
			tag_bytes = sizeof block + block.n_mask + block.n_texts;
		}
		n_value = result == LARDER_OK ? found.v.n_value : 0;
		if (!larder_pin_ok(w)) {
			larder_unpin(w);
			continue;
		}
		if (result != LARDER_OK) {
			larder_unpin(w);
			return result;
		}
		free(n->tags);
		free(n->value);
		n->tags = tag_bytes ? malloc(tag_bytes) : NULL;
		n->value = with_value ? malloc(n_value + 1) : NULL;
		if ((tag_bytes && !n->tags) || (with_value && !n->value)) {
			larder_unpin(w);
			return -ENOMEM;
		}
		if (tag_bytes)
			larder_copy_unstable(n->tags, found.v.tags, tag_bytes);
		if (with_value)
			larder_copy_unstable(n->value, found.v.value, n_value);
		if (n_value == sizeof n->counter)
			memcpy(&n->counter, found.v.value, sizeof n->counter);
		n->n_value = n_value;
		n->hard_ms = found.v.hard_ms;
		n->soft_ms = found.v.soft_ms;
		n->cost_ns = found.v.cost_ns;
		n->flags = found.v.flags & 0xf;
		n->info.version = found.v.e->version;
		/* What was stored since C was read is as good as its own stamp
		 * says: its successor must not be older than an invalidation
		 * that it came after. */
		if (!MUTANT(SUCCESSOR_STAMP))
			n->stamp = max_u64(n->stamp, entry_stamp(found.v.e));
		result = larder_pin_ok(w);
		larder_unpin(w);
		if (result)
			return LARDER_OK;
	}
}

static int successor_store(struct worker *w, const void *key, size_t n_key,
			   uint64_t hash, const struct successor *n,
			   const void *value, size_t n_value)
{
	struct store st = {
		.mode = STORE_CAS,
		.key = key,
		.n_key = n_key,
		.hash = hash,
		.expected_version = n->info.version,
		.stamp = n->stamp,
		.successor = true,
		.plan = {.key = key,
			 .n_key = (uint32_t)n_key,
			 .value = value,
			 .n_value = n_value,
			 .flags = n->flags,
			 .hard_ms = n->hard_ms,
			 .soft_ms = n->soft_ms,
			 .cost_ns = n->cost_ns,
			 .raw_tags = n->tags},
	};

	return larder_store_run(w, &st);
}

/* A counter that is not there yet. */
static int counter_begin(struct worker *w, const void *key, size_t n_key,
			 uint64_t hash, uint64_t value,
			 const struct larder_put_options *given)
{
	struct larder_put_options o;
	struct store st = {
		.mode = STORE_ADD,
		.key = key,
		.n_key = n_key,
		.hash = hash,
		.stamp = larder_fresh_now(w->s) & STAMP_MASK,
		.plan = {.key = key,
			 .n_key = (uint32_t)n_key,
			 .value = &value,
			 .n_value = sizeof value,
			 .flags = LARDER_COUNTER},
	};
	int error = larder_store_options(w, given, &o, &st.plan);

	return error ? error : larder_store_run(w, &st);
}

int larder_increment(struct larder *h, const void *key, size_t n_key,
		     int64_t delta, uint64_t initial,
		     const struct larder_put_options *options, uint64_t *result)
{
	int error, outcome;
	struct worker *w = worker_of(h, &error);
	uint64_t hash, value;

	if (!w)
		return error;
	if (!key_valid(key, n_key))
		return -EINVAL;
	hash = key_hash_of(w->s, key, n_key);
	do {
		struct successor n = {0};

		outcome = successor_read(w, key, n_key, hash, false, &n);
		if (outcome == LARDER_MISS) {
			value = initial + (uint64_t)delta;
			outcome = counter_begin(w, key, n_key, hash, value,
						options);
		} else if (outcome == LARDER_OK &&
			   (n.n_value != sizeof value ||
			    (n.flags & LARDER_REGION))) {
			outcome = LARDER_NOT_COUNTER;
		} else if (outcome == LARDER_OK) {
			value = n.counter + (uint64_t)delta;
			n.flags |= LARDER_COUNTER;
			outcome = successor_store(w, key, n_key, hash, &n,
						  &value, sizeof value);
		}
		successor_free(&n);
		/* Changed or gone meanwhile, or there meanwhile: once more.
		 * Each round another's operation succeeded. */
	} while (outcome == LARDER_CHANGED || outcome == LARDER_EXISTS ||
		 outcome == LARDER_MISS);
	if (outcome == LARDER_OK && result)
		*result = value;
	return outcome;
}

int larder_touch(struct larder *h, const void *key, size_t n_key,
		 uint64_t ttl_ms)
{
	int error, outcome;
	struct worker *w = worker_of(h, &error);
	uint64_t hash;

	if (!w)
		return error;
	if (!key_valid(key, n_key))
		return -EINVAL;
	hash = key_hash_of(w->s, key, n_key);
	do {
		struct successor n = {0};

		outcome = successor_read(w, key, n_key, hash, true, &n);
		if (outcome == LARDER_OK && (n.flags & LARDER_KEEP)) {
			outcome = LARDER_OK;
		} else if (outcome == LARDER_OK) {
			n.hard_ms = ttl_ms == UINT64_MAX
					    ? 0
					    : larder_clock_ms() +
						      min_u64(ttl_ms,
							      UINT64_MAX / 4) +
						      1;
			outcome = successor_store(w, key, n_key, hash, &n,
						  n.value, n.n_value);
		}
		successor_free(&n);
	} while (outcome == LARDER_CHANGED);
	return outcome;
}
