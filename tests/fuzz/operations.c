/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of operations on a segment of 1 MiB, beside a model: an entry may
 * be absent where something was evicted or invalidated since it was stored,
 * unless it has KEEP; but what is there is what was stored last, nothing that
 * was removed or invalidated comes back, and a lease keeps its bytes.
 * Afterwards the segment is closed, checked, and what a copy of it holds is
 * compared too.
 */
#include "fuzz/operations.h"

#include <string.h>
#include <unistd.h>

#include <larder/admin.h>

#include "segment/layout.h"

static uint8_t value[VALUE_MOST], got[VALUE_MOST];

static void fill_value(uint8_t *to, uint8_t letter, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		to[i] = (uint8_t)(letter + i * 7);
}

static void same(const struct model *m, const uint8_t *bytes, uint64_t n)
{
	promise(n == m->length, "the length is the one that was put");
	if (m->counter) {
		promise(!memcmp(bytes, &m->count, 8), "the counter counts");
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		promise(bytes[i] == (uint8_t)(m->letter + i * 7),
			"the bytes are those put");
}

/* "a0" to "d7", some of them with a long tail. */
static const char *key_of(unsigned k, size_t *n)
{
	static char keys[KEYS][LARDER_KEY_MAX];
	char *key = keys[k];

	*n = k % 5 == 4 ? 2 + k * 31u : 2;
	key[0] = (char)('a' + k / 8);
	key[1] = (char)('0' + k % 8);
	memset(key + 2, 'x', *n - 2);
	return key;
}

static uint64_t n_evicted(struct larder *h)
{
	uint64_t counters[64], n = 0;

	larder_counters(h, counters, 64);
	for (size_t i = 0; i < larder_n_counters() && i < 64; i++)
		if (strstr(larder_counter_name(i), "evict"))
			n += counters[i];
	return n;
}

/* As long as this stays as it is, whatever is there stays there. */
static uint64_t n_lost(const struct state *st)
{
	return n_evicted(st->h) + st->n_invalidations;
}

/* An entry may be gone, and is until it is put again. */
static void absent(struct state *st, unsigned k)
{
	struct model *m = &st->model[k];

	promise(!m->there || !m->keep, "what is kept stays");
	promise(!m->there || st->copied || m->n_lost != n_lost(st),
		"nothing is lost but to evictions and invalidations");
	m->there = false;
}

static void see(struct state *st, unsigned k)
{
	struct model *m = &st->model[k];
	size_t n_key, n = 0;
	const char *key = key_of(k, &n_key);
	int result = larder_get(st->h, key, n_key, got, sizeof got, &n);

	if (result == LARDER_MISS) {
		absent(st, k);
		return;
	}
	promise(result == LARDER_OK, "get gives a hit or a miss");
	promise(m->there, "what was removed or invalidated stays away");
	same(m, got, n);
}

/* What a successful store leaves in the model. */
static void stored(struct state *st, unsigned k, const struct model *new)
{
	st->model[k] = *new;
	st->model[k].there = true;
	st->model[k].n_lost = n_lost(st);
	for (unsigned i = 0; i < FILLS; i++)
		if (st->fill[i].open && st->fill[i].key == k)
			st->fill[i].put_since = true;
}

static void gone(struct state *st, unsigned k, bool by_invalidation)
{
	struct model *m = &st->model[k];

	if (by_invalidation && m->keep)
		return;
	*m = (struct model){0};
}

/* What a put takes with it, from three bytes. */
struct wish {
	struct model m;
	struct larder_tag tags[TAGS];
	struct larder_put_options o;
	uint64_t version;
};

static const char tag_names[TAGS][4] = {"red", "ran", "blu", "big"};

static void wish(struct input *in, struct wish *w)
{
	uint8_t how = take(in), size = take(in);

	memset(w, 0, sizeof *w);
	w->m.letter = take(in);
	w->m.length = how & 1	? size
		      : how & 2 ? size * 16u
				: size * (how & 4 ? 510u : 60u);
	w->o.size_of = sizeof w->o;
	w->o.tags = w->tags;
	w->o.version = &w->version;
	w->m.tags = how >> 4;
	for (unsigned t = 0; t < TAGS; t++)
		if (w->m.tags >> t & 1)
			w->tags[w->o.n_tags++] =
				(struct larder_tag){tag_names[t], 3};
	if ((how & 0xf) == 9)
		w->o.ttl_ms = 100000 + size;
	if ((how & 0xf) == 10)
		w->o.soft_ttl_ms = 1;
	if ((how & 0xf) == 11)
		w->m.keep = w->m.length < 2000;
	if (w->m.keep)
		w->o.flags = LARDER_KEEP;
	if ((how & 0xf) == 12)
		w->o.cost_ns = size * 1000u;
	fill_value(value, w->m.letter, w->m.length);
}

/* The outcomes that say that there was no room; what was there stays. */
static bool no_room(int result)
{
	return result == LARDER_NO_SPACE || result == LARDER_KEEP_LIMIT;
}

static void store(struct state *st, struct input *in, unsigned k, uint8_t mode)
{
	struct model *m = &st->model[k];
	struct larder_info info = {.size_of = sizeof info};
	size_t n_key;
	const char *key = key_of(k, &n_key);
	uint64_t was_evicted;
	struct wish w;
	int result;

	wish(in, &w);
	see(st, k);
	/* A store may evict the very key it is about, to make room for itself.
	 */
	was_evicted = n_evicted(st->h);
	if (m->there) {
		result = larder_get_info(st->h, key, n_key, NULL, 0, &info);
		promise(result == LARDER_OK || result == LARDER_TRUNCATED,
			"it is still there");
		promise(info.n_value == m->length, "info knows the length");
	}
	switch (mode) {
	case 0:
		result = larder_put(st->h, key, n_key, value, w.m.length, &w.o);
		promise(result == LARDER_OK || no_room(result),
			"put stores or finds no room");
		break;
	case 1:
		result = larder_add(st->h, key, n_key, value, w.m.length, &w.o);
		promise(result == LARDER_EXISTS ? m->there
			: result == LARDER_OK
				? !m->there || n_evicted(st->h) != was_evicted
				: no_room(result),
			"add finds what is there");
		break;
	case 2:
		result = larder_replace(st->h, key, n_key, value, w.m.length,
					&w.o);
		promise(result == LARDER_MISS ? !m->keep
			: result == LARDER_OK ? m->there
					      : no_room(result),
			"replace finds what is there");
		break;
	case 3:
		result = larder_cas(st->h, key, n_key, info.version, value,
				    w.m.length, &w.o);
		promise(result == LARDER_OK ? m->there
			: result == LARDER_MISS
				? !m->keep
				: no_room(result) ||
					  (result == LARDER_CHANGED &&
					   !m->there),
			"cas finds the version that info told");
		break;
	default:
		result = larder_cas(st->h, key, n_key, info.version + 1, value,
				    w.m.length, &w.o);
		promise(result == LARDER_CHANGED || result == LARDER_MISS ||
				no_room(result),
			"cas refuses another version");
		break;
	}
	if (result == LARDER_OK)
		stored(st, k, &w.m);
}

static void increment(struct state *st, struct input *in, unsigned k)
{
	struct model *m = &st->model[k], new;
	size_t n_key;
	const char *key = key_of(k, &n_key);
	uint8_t by = take(in);
	uint64_t was = 7, now = 0;
	int result;

	see(st, k);
	new = *m;
	result = larder_increment(st->h, key, n_key, by, 7, NULL, &now);
	if (result == LARDER_NOT_COUNTER) {
		promise(m->there && m->length != 8,
			"only other lengths are no counters");
		return;
	}
	promise(result == LARDER_OK || no_room(result), "increment adds");
	if (result != LARDER_OK)
		return;
	if (m->there && m->counter) {
		was = m->count;
	} else if (m->there) {
		fill_value(value, m->letter, 8);
		memcpy(&was, value, 8);
	} else {
		new = (struct model){0};
	}
	/* Evicted between the two calls, it begins anew. */
	promise(now == was + by || (!m->keep && now == 7u + by), "it added");
	new.length = 8;
	new.counter = true;
	new.count = now;
	stored(st, k, &new);
}

static void lease(struct state *st, unsigned k, unsigned i)
{
	struct held *l = &st->lease[i];
	size_t n_key;
	const char *key = key_of(k, &n_key);
	int result;

	if (l->held) {
		same(&l->what, l->view.value, l->view.n_value);
		larder_release(st->h, &l->view);
		promise(!l->view.value, "a released view is zeroed");
		l->held = false;
		return;
	}
	result = larder_lease(st->h, key, n_key, &l->view);
	if (result == LARDER_MISS) {
		absent(st, k);
		return;
	}
	if (result == LARDER_LEASE_LIMIT)
		return;
	promise(result == LARDER_OK && st->model[k].there, "a lease is a hit");
	l->held = true;
	l->what = st->model[k];
	same(&l->what, l->view.value, l->view.n_value);
}

/* Begin a fill, or end the one that is under way. */
static void fill(struct state *st, struct input *in, unsigned k, unsigned i)
{
	struct filling *f = &st->fill[i];
	struct larder_view view;
	uint64_t was_evicted;
	struct wish w;
	size_t n_key;
	const char *key = key_of(k, &n_key);
	bool was_there;
	int result;

	if (!f->open) {
		result = larder_fill_begin(st->h, key, n_key, NULL, &f->fill,
					   &view);
		if (result == LARDER_ERR_NESTED_FILL) {
			promise(st->fill[!i].open, "there is another fill");
			return;
		}
		if (result == LARDER_WAIT) { /* two keys of one flight */
			larder_fill_abandon(st->h, &f->fill);
			return;
		}
		promise(result == LARDER_OK || result == LARDER_STALE ||
				result == LARDER_LEAD,
			"a fill begins with a hit or the lead");
		if (view.value || result != LARDER_LEAD) {
			promise(st->model[k].there, "a hit of what is there");
			same(&st->model[k], view.value, view.n_value);
			larder_release(st->h, &view);
		}
		if (result == LARDER_LEAD)
			*f = (struct filling){
				.fill = f->fill, .open = true, .key = k};
		return;
	}
	f->open = false;
	wish(in, &w);
	if (w.m.letter % 4 == 0) {
		larder_fill_abandon(st->h, &f->fill);
		return;
	}
	see(st, f->key);
	was_there = st->model[f->key].there;
	was_evicted = n_evicted(st->h);
	fill_value(value, w.m.letter, w.m.length);
	result = larder_fill_put(st->h, &f->fill, value, w.m.length, &w.o);
	promise(result == LARDER_OK || result == LARDER_NEWER ||
			result == LARDER_STALE_FILL || no_room(result),
		"a fill is stored or refused");
	if (result != LARDER_OK)
		return;
	promise(!f->invalidated, "no fill outlives an invalidation");
	promise(!(f->tags & w.m.tags) || w.m.keep,
		"no fill outlives its tags' invalidation");
	promise(!f->put_since || !was_there || n_evicted(st->h) != was_evicted,
		"no fill replaces what was put since");
	stored(st, f->key, &w.m);
}

static bool pattern_has(unsigned which, unsigned k)
{
	switch (which) {
	case 0:
		return k / 8 == 0; /* a* */
	case 1:
		return k % 8 == 3 && k % 5 != 4; /* ?3 */
	case 2:
		return k / 8 == 1 || k / 8 == 2; /* [bc]* */
	default:
		return k / 8 == 3 && k % 8 != 7; /* d[!7]* */
	}
}

static void invalidate(struct state *st, uint8_t how, unsigned k)
{
	static const char *const globs[] = {"a*", "?3", "[bc]*", "d[!7]*"};
	unsigned which = how % 4;
	size_t n_key;
	const char *key = key_of(k, &n_key);
	int result;

	switch (how / 4 % 5) {
	case 0:
		result = larder_invalidate_tag(st->h, tag_names[which], 3);
		break;
	case 1:
		result = larder_invalidate_match(st->h, globs[which],
						 strlen(globs[which]),
						 LARDER_MATCH_KEYS);
		break;
	case 2: /* red and ran; no key begins with r */
		result = larder_invalidate_match(st->h, "r*", 2,
						 LARDER_MATCH_EITHER);
		break;
	case 3:
		result = larder_invalidate_key(st->h, key, n_key);
		break;
	default:
		if (which)
			return;
		result = larder_invalidate_all(st->h);
		break;
	}
	promise(result == LARDER_OK, "an invalidation is done");
	st->n_invalidations++;
	for (unsigned i = 0; i < KEYS; i++) {
		unsigned tags = how / 4 % 5 == 0   ? 1u << which
				: how / 4 % 5 == 2 ? 3u
						   : 0u;
		bool hit = how / 4 % 5 == 1   ? pattern_has(which, i)
			   : how / 4 % 5 == 3 ? i == k
					      : how / 4 % 5 == 4;

		if (hit || (st->model[i].tags & tags))
			gone(st, i, true);
		for (unsigned f = 0; f < FILLS; f++)
			if (st->fill[f].open && st->fill[f].key == i) {
				st->fill[f].invalidated |= hit;
				st->fill[f].tags |= tags;
			}
	}
}

static void walk(struct state *st)
{
	static struct larder_walk_entry e;
	uint64_t cursor = 0;
	unsigned n = 0;

	e.size_of = sizeof e;
	while (larder_walk(st->h, &cursor, &e) == LARDER_OK) {
		unsigned k = (e.key[0] - 'a') * 8u + e.key[1] - '0';
		size_t n_key;

		promise(++n <= KEYS + REGIONS, "each entry is seen once");
		if (e.info.flags & LARDER_REGION)
			continue;
		promise(k < KEYS && e.n_key >= 2, "no key but ours");
		promise(!memcmp(key_of(k, &n_key), e.key, e.n_key) &&
				n_key == e.n_key,
			"keys are whole");
		if (!e.valid)
			continue;
		promise(st->model[k].there, "what is gone is not valid");
		promise(e.info.n_value == st->model[k].length,
			"a walk knows the length");
	}
}

static void region(struct state *st, unsigned i)
{
	const char name[] = {(char)('r' + i), '\0'};
	struct larder_region r;
	int result = larder_region(st->h, name, 200, 16, &r);

	if (result == LARDER_NO_SPACE) {
		promise(!st->region[i], "a region stays");
		return;
	}
	promise(result == 0 && r.n_common == 200, "a region is there");
	for (unsigned b = 0; b < 200; b++)
		promise(((uint8_t *)r.common)[b] == st->region[i],
			"a region's bytes stay");
	memset(r.common, ++st->region[i], 200);
	memset((char *)r.cells + r.stride * (r.n_cells - 1), 1, 16);
}

static void let_go(struct state *st)
{
	for (unsigned i = 0; i < LEASES; i++)
		if (st->lease[i].held)
			lease(st, 0, i);
	for (unsigned i = 0; i < FILLS; i++) {
		if (st->fill[i].open)
			larder_fill_abandon(st->h, &st->fill[i].fill);
		st->fill[i].open = false;
	}
}

static void reopen(struct state *st, bool handle_too)
{
	let_go(st);
	larder_detach_thread(st->h);
	if (!handle_too)
		return;
	larder_close(st->h);
	promise(larder_open_fd(st->fd, NULL, &st->h) == 0, "open again");
}

static void step(struct state *st, struct input *in)
{
	uint8_t what = take(in), which = take(in);
	unsigned k = which % KEYS;
	size_t n_key;
	const char *key = key_of(k, &n_key);
	int result;

	switch (what % 20) {
	default:
		store(st, in, k, what % 20 < 5 ? what % 20 : 0);
		break;
	case 8:
		increment(st, in, k);
		break;
	case 9:
		see(st, k);
		result = larder_remove(st->h, key, n_key);
		promise(result ==
				(st->model[k].there ? LARDER_OK : LARDER_MISS),
			"remove tells what was there");
		gone(st, k, false);
		break;
	case 10:
		result = larder_touch(st->h, key, n_key,
				      which & 32 ? UINT64_MAX : 50000);
		promise(result == LARDER_OK	? st->model[k].there
			: result == LARDER_MISS ? !st->model[k].keep
						: no_room(result),
			"touch finds what is there");
		break;
	case 11:
		lease(st, k, which / KEYS % LEASES);
		break;
	case 12:
		fill(st, in, k, which / KEYS % FILLS);
		break;
	case 13:
		invalidate(st, take(in), k);
		break;
	case 14:
		result = larder_maintain(st->h, which);
		promise(result == 0, "nobody else keeps house");
		break;
	case 15:
		walk(st);
		break;
	case 16:
		region(st, which % REGIONS);
		break;
	case 17:
		reopen(st, which & 1);
		break;
	case 18:
	case 19:
		see(st, k);
		break;
	}
}

static void finding(void *context, enum larder_severity severity,
		    const char *where, const char *what)
{
	bool *settled = context;

	/* A sweep would do the rest next, and whoever uses a wrong hint finds
	 * that out. */
	if (severity == LARDER_PENDING && (!*settled || strstr(what, "hint")))
		return;
	*settled = false;
	fprintf(stderr, "%s %s: %s\n",
		severity == LARDER_DAMAGE ? "damage" : "unfinished", where,
		what);
}

/* Check the segment, and what a copy of it holds. */
static void close_and_check(struct state *st, bool settle, bool copy)
{
	struct larder_check_result result = {.size_of = sizeof result};
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = 2 << 20};
	struct larder_inspector *in;
	uint64_t n_copied, n_skipped;
	bool settled = settle;
	char path[32];
	int error;

	for (int i = 0; settle && i < 8; i++)
		promise(larder_maintain(st->h, 1024) == 0, "house is kept");
	larder_close(st->h);
	snprintf(path, sizeof path, "/proc/self/fd/%d", st->fd);
	promise(larder_inspect(path, &in) == 0, "an inspector opens it");
	promise(larder_inspect_check(in, finding, &settled, &result) == 0,
		"check");
	promise(result.n_damage == 0, "no sequence damages the segment");
	promise(settled == settle, "nothing is left unfinished");
	if (copy) {
		int fd;

		promise(larder_create_fd(&o, &fd) == 0, "create");
		promise(larder_open_fd(fd, NULL, &st->h) == 0, "open");
		close(fd);
		st->copied = true;
		error = larder_copy(in, st->h, &n_copied, &n_skipped);
		promise(error == 0 || error == LARDER_NO_SPACE, "copy");
		for (unsigned k = 0; k < KEYS; k++) {
			st->model[k].keep &= error == 0;
			see(st, k);
		}
		larder_close(st->h);
	}
	larder_inspect_close(in);
	close(st->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t secret[LARDER_SECRET_BYTES] = "the same each time";
	struct input in = {data, n};
	uint8_t how = take(&in);
	struct larder_create_options o = {
		.size_of = sizeof o,
		.bytes = 1 << 20,
		.policy = how & 3 ? (how & 3u) + 1u : 0,
		.flags = how & 4 ? LARDER_CREATE_FENCED : 0,
		.max_entries = how & 8 ? 12 : 0,
		.n_slots = 2 + (how >> 4 & 3)};
	static struct state st;

	memset(&st, 0, sizeof st);
	promise(larder_create_fd(&o, &st.fd) == 0, "create");
	/* The same keys share groups in each run. */
	promise(pwrite(st.fd, secret, sizeof secret,
		       offsetof(struct superblock, secret)) == sizeof secret,
		"write the secret");
	promise(larder_open_fd(st.fd, NULL, &st.h) == 0, "open");
	while (in.left)
		step(&st, &in);
	for (unsigned k = 0; k < KEYS; k++)
		see(&st, k);
	let_go(&st);
	close_and_check(&st, how & 128, how & 64);
	return 0;
}
