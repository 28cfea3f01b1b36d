/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storm road of a hit (recent.h), included by usual_body.h for each level
 * of processor, with what is said there and:
 *
 *   LANES         invalidations that are looked at in one go
 *   OWN, SUSPECTS, SUSPECTS_TWO
 *                 storm.h; the last for masks of twice as many bytes
 */

/*
 * A hit while many lag (cache/recent.h): nothing branches on how far this one
 * does, and all that was invalidated since is looked at in one go.
 * @fingerprint: of the key, as the ring has it, the lower half.
 */
static inline __attribute__((always_inline)) TARGET bool
LEVEL(storm)(struct worker *w, const void *key, size_t n_key,
	     enum key_kind kind, struct group *g, unsigned tag,
	     uint32_t fingerprint, void *value, size_t n_buffer,
	     size_t *n_value)
{
	const struct hot *hot = usual_hot(w);
	const unsigned char *from, *own_key, *end;
	uint64_t mine, word, i, size, lag, version;
	struct entry *e;
	struct cell *cell;
	uint32_t unit, mask, own;
	size_t optional = 0;

	FORGET(optional); /* or it is had from the flags, which wait */
	mine = larder_pin_next(w);
	store_release(&w->slot->pin, mine); /* [EPO.1] */
	w->pin = mine;
	compiler_barrier();
	if (unlikely(load_acquire(&hot->epoch) != w->epoch))
		goto unusual;
	/* [FRE.2] C, before everything else; what is remembered goes just so
	 * far. */
	if (unlikely(load_acquire(&hot->stamp) != w->recent.now) &&
	    !larder_recent_follow(w))
		goto unusual;
	own = OWN(&w->recent, fingerprint);

	mask = MATCH(g, tag);
	if (unlikely(!mask))
		goto unusual;
	i = lowest_bit(mask);
	unit = usual_unit(g, i) - w->near.first_unit; /* [PUB.2] */
	if (unlikely(unit >= w->near.n_units))
		goto unusual;
	e = (struct entry *)(void *)(w->near.pages +
				     ((uint64_t)unit << UNIT_SHIFT));
	/* [HAZ.1] Set, and validated together with the copy. */
	if (!MUTANT(STORM_NO_HAZARD))
		store_release(&w->slot->hazard[HAZARD_OLD],
			      unit + w->near.first_unit);
	/* The tags of most that have some begin here or before; where exactly
	 * is known too late. */
	__builtin_prefetch((const char *)e + 2 * UNIT_BYTES);
	word = load_acquire(&e->flags_stamp);
	FORGET(e);
	if (unlikely(word >> 48 & ~(uint64_t)ENTRY_TAGS)) {
		if (unlikely(!storm_optional(e, word)))
			goto held;
		optional = usual_optional(word);
	}
	size = e->n_value;
	FORGET(size);
	own_key = e->rest + optional;
	from = (const unsigned char *)e + optional + usual_offset(kind, n_key);
	end = from + size;
	/* What is read of a mask is within the segment, too. */
	if (unlikely(entry_n_key_low(e) != (uint16_t)n_key || size > n_buffer ||
		     end + STORM_BEYOND > w->near.end))
		goto held;
	if (unlikely(!usual_same_key(kind, own_key, key, n_key)))
		goto held;
	lag = (w->recent.now - word) & STAMP_MASK;
	if (word >> 48 & ENTRY_TAGS) {
		const unsigned char *tags =
			(const unsigned char *)align_up((uintptr_t)end, 8);
		uint16_t n_mask;
		uint32_t last;

		memcpy(&n_mask, tags + offsetof(struct tag_block, n_mask),
		       sizeof n_mask);
		tags += sizeof(struct tag_block);
		last = n_mask / 8u - 1;
		/* Of a larger mask, or none: look closer if it lags at all. */
		if (likely(last < STORM_MASK / 16))
			own |= SUSPECTS(&w->recent, tags, last);
		else if (last == STORM_MASK / 8 - 1)
			own |= SUSPECTS_TWO(&w->recent, tags, last);
		else
			own = ~UINT32_C(0);
	}
	/* Those up to the stamp are masked away. */
	if (unlikely(lag > LANES || own & ((1u << lag) - 1))) {
		if (!usual_valid(w, e, key, n_key, end, word, w->recent.now))
			goto held;
		w->n_twice += lag != 0;
		lag = 0; /* its stamp was raised */
	}
	version = e->version;
	usual_raise(w, g, i);
	LEVEL(copy)(value, from, size);
	LEAVE();
	compiler_barrier();
	if (unlikely(!larder_pin_ok(w)))
		goto held; /* expelled: what was copied is anything */
	if (MUTANT(STORM_LATE) && lag)
		lag += load_acquire(&hot->stamp) - w->recent.now;
	store_release(lag ? &e->flags_stamp : &w->nowhere[1], word + lag);
	if (unlikely(w->sample == 1))
		usual_sample(w, e);
	store_release(&w->slot->hazard[HAZARD_OLD], 0);
	larder_unpin(w);
	cell = w->cell;
	count_in(cell, COUNTER_HITS, 1);
	count_cross(w, cell, version);
	count_some(&w->n_lagged, lag);
	w->sample--;
	if (n_value)
		*n_value = size;
	return true;
held:
	larder_hazard_clear(w, HAZARD_OLD);
unusual:
	larder_unpin(w);
	return false;
}

static __attribute__((noinline)) TARGET bool
LEVEL(storm_hit)(struct worker *w, const void *key, size_t n_key, uint64_t hash,
		 void *value, size_t n_buffer, size_t *n_value)
{
	return LEVEL(storm)(w, key, n_key, KEY_OTHER, group_of(w->s, hash),
			    tag_of(hash), (uint32_t)ring_fingerprint(hash),
			    value, n_buffer, n_value);
}

/* A get of a worker that is not on the usual road. */
static __attribute__((noinline)) TARGET int
LEVEL(get_storm)(struct larder *h, const void *key, size_t n_key, void *value,
		 size_t n_buffer, size_t *n_value)
{
	struct worker *w = larder_workers[h->id];
	uint64_t hash;
	bool hit;

	if (unlikely(!w || w->storm_serial != h->serial ||
		     !key_valid(key, n_key) || (!value && n_buffer)))
		return larder_get_unusual(h, key, n_key, value, n_buffer,
					  n_value);
	if (likely(n_key - 9 <= 16 - 9)) {
		hash = larder_hash_flipped(w->near.flips, key, n_key);
		hit = LEVEL(storm)(w, key, n_key, KEY_9_TO_16,
				   group_of(w->s, hash), tag_of(hash),
				   (uint32_t)ring_fingerprint(hash), value,
				   n_buffer, n_value);
	} else {
		hash = key_hash_of(w->s, key, n_key);
		hit = LEVEL(storm_hit)(w, key, n_key, hash, value, n_buffer,
				       n_value);
	}
	return likely(hit) ? LARDER_OK
			   : larder_get_unusual(w->handle, key, n_key, value,
						n_buffer, n_value);
}
