/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inspectors: opening, what the superblock says, who is attached, and the small
 * tables. Nothing here writes, and nothing of the file is followed unchecked.
 */
#include "admin/inspect.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counters.h"
#include "cache/flight.h"
#include "cache/pattern.h"

bool larder_inspect_give(void *to, const void *from, size_t n_from)
{
	size_t n;

	memcpy(&n, to, sizeof n);
	if (n < sizeof n || n > 4096)
		return false;
	memcpy((char *)to + sizeof n, (const char *)from + sizeof n,
	       min_u64(n, n_from) - sizeof n);
	return true;
}

int larder_inspect(const char *path, struct larder_inspector **result)
{
	struct larder_inspector *in;
	struct stat st;
	int fd, error;

	if (!path || !*path || !result)
		return -EINVAL;
	/* Not to wait for the other end of a pipe that somebody named. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		error = -errno;
		close(fd);
		return error;
	}
	in = calloc(1, sizeof *in);
	if (!in) {
		close(fd);
		return -ENOMEM;
	}
	error = larder_segment_map(fd, SEGMENT_INSPECT, &in->s);
	if (error) {
		free(in);
		return error;
	}
	in->n_file = (uint64_t)st.st_size;
	in->this_boot = larder_alive_boot(in->s);
	in->last.bytes = in->last.room;
	*result = in;
	return 0;
}

uint64_t larder_inspect_now_ms(const struct larder_inspector *in)
{
	const struct superblock *sb = in->s->sb;

	if (in->this_boot)
		return larder_clock_ms();
	return sb->created_ms + (larder_clock_unix_ms() - sb->created_unix_ms);
}

void larder_inspect_close(struct larder_inspector *in)
{
	if (!in)
		return;
	larder_snapshot_drop(&in->last);
	larder_segment_drop(in->s);
	free(in);
}

/* ------------------------------------------------------------------ */

static double overhead(const struct superblock *sb)
{
	double entries = (double)sb->ghost_entries;
	double bits =
		3 * (double)align_up(ENTRY_FIXED + sb->entry_hint, UNIT_BYTES) /
		UNIT_BYTES / 8;
	double ghosts =
		(double)(sb->n_ghost_buckets + sb->n_ghost_main_buckets) *
		sizeof(struct ghost_bucket);

	return ENTRY_FIXED + bits +
	       ((double)sb->n_groups * sizeof(struct group) + ghosts) / entries;
}

/* What follows from the superblock alone. */
static struct larder_segment_info describe(const struct superblock *sb)
{
	return (struct larder_segment_info){
		.layout_version = sb->layout_version,
		.page_bytes = 1u << sb->page_shift,
		.bytes_total = sb->bytes,
		.fenced = sb->fenced != 0,
		.policy = (uint8_t)sb->policy,
		.n_slots = sb->n_slots,
		.n_pages = sb->n_pages,
		.n_classes = sb->n_classes,
		.n_groups = sb->n_groups,
		.n_index_slots = sb->n_groups * GROUP_SLOTS,
		.max_entries = sb->max_entries,
		.entry_hint = sb->entry_hint,
		.value_max = sb->value_max,
		.ttl_ms = sb->ttl_ms,
		.bytes_superblock = sb->off_slots,
		.bytes_slots = sb->off_ring - sb->off_slots,
		.bytes_tables = sb->off_pools - sb->off_ring,
		.bytes_index = sb->off_hint_bits - sb->off_groups,
		.bytes_clock = sb->off_groups - sb->off_pools +
			       (sb->off_pages - sb->off_hint_bits),
		.bytes_pages = sb->bytes - sb->off_pages,
		.overhead_per_entry = overhead(sb),
	};
}

int larder_plan(const struct larder_create_options *options,
		struct larder_segment_info *info)
{
	struct larder_create_options o = {0};
	struct larder_segment_info i;
	struct superblock sb;
	int error;

	if (!info || (options && (options->size_of < sizeof(size_t) ||
				  options->size_of > 4096)))
		return -EINVAL;
	if (options)
		memcpy(&o, options, min_u64(options->size_of, sizeof o));
	error = larder_layout_plan(&o, &sb);
	if (error)
		return error;
	i = describe(&sb);
	i.fenced = (o.flags & LARDER_CREATE_FENCED) != 0;
	return larder_inspect_give(info, &i, sizeof i) ? 0 : -EINVAL;
}

int larder_inspect_info(struct larder_inspector *in,
			struct larder_segment_info *info)
{
	const struct superblock *sb = in->s->sb;
	uint64_t stamp = load_acquire(&in->s->hot->stamp);
	struct larder_segment_info i = describe(sb);

	i.bytes_file = in->n_file;
	i.created_unix_ms = sb->created_unix_ms;
	i.created_boot_ms = sb->created_ms;
	i.this_boot = in->this_boot;
	i.closed = (stamp & STAMP_CLOSED) != 0;
	i.creator_pid = sb->creator_pid;
	i.epoch = load_relaxed(&in->s->hot->epoch);
	i.stamp = stamp & STAMP_MASK;
	for (unsigned k = 0; k < sizeof sb->id; k++) {
		i.id[2 * k] = "0123456789abcdef"[sb->id[k] >> 4];
		i.id[2 * k + 1] = "0123456789abcdef"[sb->id[k] & 15];
	}
	memcpy(i.boot_id, sb->boot_id, sizeof i.boot_id - 1);
	return larder_inspect_give(info, &i, sizeof i) ? 0 : -EINVAL;
}

int larder_inspect_counters(struct larder_inspector *in, int slot,
			    uint64_t *counters, size_t n)
{
	struct segment *s = in->s;

	if (slot >= (int)s->n_slots)
		return LARDER_END;
	for (size_t k = 0; k < n; k++) {
		counters[k] = 0;
		if (k >= COUNTER_NONE)
			continue;
		if (slot >= 0) {
			struct cell *cell = &s->cells[slot];
			uint64_t base = load_acquire(&cell->baseline[k]);
			uint64_t now = load_relaxed(&cell->counter[k]);

			counters[k] = now > base ? now - base : 0;
			continue;
		}
		for (uint32_t i = 0; i < s->n_slots; i++)
			counters[k] += load_relaxed(&s->cells[i].counter[k]);
	}
	return 0;
}

int larder_inspect_worker(struct larder_inspector *in, uint32_t i,
			  struct larder_worker_info *info)
{
	struct segment *s = in->s;
	struct larder_worker_info w = {.slot = i};
	uint64_t pin, epoch, attached, now;
	struct slot *slot;

	if (i >= s->n_slots)
		return LARDER_END;
	slot = &s->slots[i];
	w.state = (uint32_t)larder_alive_slot(s, i);
	w.generation = load_acquire(&slot->generation);
	if (w.state != LARDER_WORKER_FREE) {
		w.pid = load_relaxed(&slot->pid);
		w.tid = load_relaxed(&slot->tid);
		pin = load_acquire(&slot->pin);
		epoch = load_acquire(&s->hot->epoch);
		w.pinned = pin != 0;
		w.expelled = (pin & PIN_EXPELLED) != 0;
		if (pin && epoch > pin_epoch(pin))
			w.pin_epoch_lag = epoch - pin_epoch(pin);
		for (unsigned k = 0; k < N_USER_HAZARDS; k++)
			w.n_leases += load_relaxed(&slot->hazard[k]) != 0;
		w.bytes_leased = load_relaxed(&slot->leased_units)
				 << UNIT_SHIFT;
		attached = load_relaxed(&slot->attached_ms);
		now = larder_inspect_now_ms(in);
		w.attached_ms = now > attached ? now - attached : 0;
		if (w.state == LARDER_WORKER_LIVE)
			larder_alive_command(s, i, w.command, sizeof w.command);
	}
	return larder_inspect_give(info, &w, sizeof w) ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ */

/* What the flight's word covers; false if nobody leads. */
static bool read_flight(struct segment *s, uint32_t i, uint64_t now,
			struct larder_flight_info *info)
{
	struct flight *f = &s->flights[i];
	uint64_t word = load_acquire(&f->word), again = ~word;
	uint64_t started = 0;
	uint32_t slot;

	for (int tries = 0; tries < 16 && again != word; tries++) {
		word = tries ? again : word;
		if (flight_state(word) != FLIGHT_LEADING)
			return false;
		info->key_hash = load_relaxed(&f->key_hash);
		info->token_stamp = load_relaxed(&f->token_stamp);
		started = load_relaxed(&f->started_ms);
		fence_acquire();
		again = load_acquire(&f->word);
	}
	slot = flight_slot(word);
	info->flight = i;
	info->leader_slot = slot;
	info->age_ms = now > started ? now - started : 0;
	if (slot < s->n_slots) {
		info->leader_pid = load_relaxed(&s->slots[slot].pid);
		info->leader_alive =
			larder_flight_led(s, word) &&
			larder_alive_slot(s, slot) == LARDER_WORKER_LIVE;
	}
	return true;
}

int larder_inspect_flight(struct larder_inspector *in, uint64_t *cursor,
			  struct larder_flight_info *info)
{
	uint64_t now = larder_inspect_now_ms(in);

	for (; *cursor < in->s->sb->n_flights; ++*cursor) {
		struct larder_flight_info f = {0};

		if (!read_flight(in->s, (uint32_t)*cursor, now, &f))
			continue;
		++*cursor;
		return larder_inspect_give(info, &f, sizeof f) ? 0 : -EINVAL;
	}
	return LARDER_END;
}

static bool read_pattern(struct segment *s, uint32_t i, uint64_t now,
			 struct larder_pattern_info *info)
{
	struct pattern *p = &s->patterns[i];
	atomic_u64 *at = &s->hot->pattern_word[i];
	uint64_t word = load_acquire(at), again = ~word, created = 0;

	for (int tries = 0; tries < 16 && again != word; tries++) {
		word = tries ? again : word;
		if (pattern_state(word) != PATTERN_DRAWING &&
		    pattern_state(word) != PATTERN_SETTLED)
			return false;
		info->n_text = (uint32_t)min_u64(load_relaxed(&p->n_text),
						 LARDER_PATTERN_MAX);
		info->match = load_relaxed(&p->match);
		created = load_relaxed(&p->created_ms);
		for (uint32_t k = 0; k < info->n_text; k++)
			info->text[k] = (char)load_relaxed(&p->text[k]);
		fence_acquire();
		again = load_acquire(at);
	}
	info->text[info->n_text] = '\0';
	info->number = pattern_number(word);
	info->age_ms = now > created ? now - created : 0;
	return true;
}

int larder_inspect_pattern(struct larder_inspector *in, uint64_t *cursor,
			   struct larder_pattern_info *info)
{
	uint64_t now = larder_inspect_now_ms(in);

	for (; *cursor < N_PATTERNS; ++*cursor) {
		struct larder_pattern_info p = {0};

		if (!read_pattern(in->s, (uint32_t)*cursor, now, &p))
			continue;
		++*cursor;
		return larder_inspect_give(info, &p, sizeof p) ? 0 : -EINVAL;
	}
	return LARDER_END;
}
