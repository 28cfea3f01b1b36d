/* SPDX-License-Identifier: Apache-2.0 */
/* Live patterns: pattern.h. */
#include "cache/pattern.h"

#include <larder/larder.h>

#include "base/clock.h"
#include "base/counters.h"
#include "cache/fresh.h"
#include "cache/words.h"

enum { CLAIM_ROUNDS = 8 };

static atomic_u64 *word_of(struct segment *s, uint32_t i)
{
	return &s->hot->pattern_word[i];
}

/* ------------------------------------------------------------------ */
/* Readers                                                             */

bool larder_bearer_tag(const struct segment *s, const struct bearer *b,
		       struct bearer_tag *t)
{
	const unsigned char *text;

	if (!b->block) {
		if (t->n == b->n_tags)
			return false;
		t->text = b->tags[t->n].text;
		t->n_text = (uint32_t)b->tags[t->n].n_text;
	} else {
		/* Bounded: the block may be memory that was reused. */
		if (t->n == LARDER_TAGS_MAX ||
		    !larder_entry_tag(s, b->block, &t->at, &text, &t->n_text))
			return false;
		t->text = text;
	}
	t->n++;
	return true;
}

static bool bearer_matches(const struct segment *s, const struct bearer *b,
			   const char *glob, uint32_t n_glob, unsigned match)
{
	struct bearer_tag t = {0};

	if (match != LARDER_MATCH_TAGS &&
	    larder_glob(glob, n_glob, b->key, b->n_key) == 1)
		return true;
	if (match != LARDER_MATCH_KEYS)
		while (larder_bearer_tag(s, b, &t))
			if (larder_glob(glob, n_glob, t.text, t.n_text) == 1)
				return true;
	return false;
}

/*
 * Does pattern i, whose word was @word, match? The text may be overwritten
 * meanwhile; the caller looks at the word again [PAT.2]: bytes of the next
 * text were stored, with release, after the word had left @word.
 */
static bool text_matches(const struct segment *s, uint32_t i,
			 const struct bearer *b)
{
	struct pattern *p = &s->patterns[i];
	char glob[LARDER_PATTERN_MAX];
	uint32_t n = (uint32_t)min_u64(load_relaxed(&p->n_text), sizeof glob);

	for (uint32_t k = 0; k < n; k++)
		glob[k] = (char)load_relaxed(&p->text[k]);
	return bearer_matches(s, b, glob, n, load_relaxed(&p->match));
}

uint64_t larder_pattern_find(struct segment *s, const struct bearer *b,
			     uint64_t stamp)
{
	/* Raised before a pattern was drawn there: who saw C at its number sees
	 * this too [FRE.2]. Where patterns were never used this is the cost. */
	uint64_t n = min_u64(load_acquire(&s->hot->pattern_slots), N_PATTERNS);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = load_acquire(word_of(s, i)), again;

		for (;; word = again) {
			enum pattern_state state = pattern_state(word);
			bool matches;

			if ((state != PATTERN_DRAWING &&
			     state != PATTERN_SETTLED) ||
			    pattern_number(word) <= stamp)
				break;
			matches = text_matches(s, i, b);
			fence_acquire();
			again = load_acquire(word_of(s, i));
			if (again == word && !matches)
				break;
			if (again == word)
				return pattern_number(word);
		}
	}
	return 0;
}

/* ------------------------------------------------------------------ */
/* Retirement                                                          */

/* SETTLED -> FREE. Its number moves into `everything` before the word goes
 * [PAT.3]: a reader looks there after the words [PAT.4]. */
static bool retire(struct segment *s, uint32_t i, uint64_t word)
{
	raise_acqrel(&s->hot->everything, pattern_number(word));
	return cas_acqrel(
		word_of(s, i), &word,
		pattern_word(0, pattern_generation(word) + 1, PATTERN_FREE));
}

/* What a dead invalidator left in slot i: free a claim, settle a drawing. */
static void mend(struct segment *s, uint32_t i, uint64_t word)
{
	struct pattern *p = &s->patterns[i];
	enum pattern_state state = pattern_state(word);
	uint64_t owner = state == PATTERN_CLAIMED ? pattern_number(word)
						  : load_acquire(&p->owner);

	if ((state != PATTERN_CLAIMED && state != PATTERN_DRAWING) ||
	    larder_slot_current(s, (uint32_t)(owner >> 32), (uint32_t)owner))
		return;
	if (state == PATTERN_CLAIMED) {
		cas_acqrel(word_of(s, i), &word,
			   pattern_word(0, pattern_generation(word) + 1,
					PATTERN_FREE));
		return;
	}
	/* The owner that was read is that of this word if the word still
	 * stands: it is written before DRAWING. Its clock starts anew, as the
	 * sweep has to begin after C got there. */
	larder_help(s, pattern_number(word));
	store_relaxed(&p->created_ms, larder_clock_ms());
	cas_acqrel(word_of(s, i), &word,
		   pattern_word(pattern_number(word), pattern_generation(word),
				PATTERN_SETTLED));
}

void larder_patterns_maintain(struct worker *w, uint64_t swept_ms)
{
	struct segment *s = w->s;
	uint64_t n = min_u64(load_acquire(&s->hot->pattern_slots), N_PATTERNS);
	uint64_t now = larder_clock_ms();

	for (uint32_t i = 0; i < n; i++) {
		uint64_t word = load_acquire(word_of(s, i));
		uint64_t settled = load_relaxed(&s->patterns[i].created_ms);

		if (pattern_state(word) != PATTERN_SETTLED)
			mend(s, i, word);
		else if (swept_ms > settled &&
			 now >= settled + s->sb->pattern_ms)
			retire(s, i, word);
	}
}

/* All slots are taken: the settled pattern with the least number goes early.
 * Innocent fills that are older than it are refused from then on. */
static bool retire_oldest(struct segment *s)
{
	uint64_t oldest = UINT64_MAX;
	uint32_t at = 0;

	for (uint32_t i = 0; i < N_PATTERNS; i++) {
		uint64_t word = load_acquire(word_of(s, i));

		if (pattern_state(word) == PATTERN_SETTLED && word < oldest) {
			oldest = word; /* the number is on top */
			at = i;
		}
	}
	if (oldest == UINT64_MAX)
		return false;
	raise_acqrel(&s->hot->retired_early, pattern_number(oldest));
	retire(s, at, oldest);
	return true;
}

/* ------------------------------------------------------------------ */
/* Invalidation                                                        */

/* Take a free slot. *word is its word, CLAIMED by us; -1: none to be had. */
static int claim(struct worker *w, uint64_t *word)
{
	struct segment *s = w->s;
	uint64_t owner = pattern_owner(w->index, w->generation);

	for (int round = 0; round < CLAIM_ROUNDS; round++) {
		for (uint32_t i = 0; i < N_PATTERNS; i++) {
			uint64_t seen = load_acquire(word_of(s, i));
			uint64_t mine =
				pattern_word(owner, pattern_generation(seen),
					     PATTERN_CLAIMED);

			if (pattern_state(seen) != PATTERN_FREE ||
			    !cas_acqrel(word_of(s, i), &seen, mine))
				continue;
			*word = mine;
			raise_acqrel(&s->hot->pattern_slots, i + 1);
			return (int)i;
		}
		for (uint32_t i = 0; i < N_PATTERNS; i++)
			mend(s, i, load_acquire(word_of(s, i)));
		if (!retire_oldest(s) && round)
			break;
	}
	return -1;
}

/* Ours alone while CLAIMED. Release [PAT.1]: see
 * text_matches() [PAT.2]. */
static void write_text(struct worker *w, struct pattern *p, uint64_t word,
		       const char *glob, uint32_t n_glob, unsigned match)
{
	store_release(&p->owner, pattern_owner(w->index, w->generation));
	store_release(&p->created_ms, larder_clock_ms());
	store_release(&p->n_text, n_glob);
	store_release(&p->match, match);
	store_release(&p->generation, pattern_generation(word));
	for (uint32_t k = 0; k < n_glob; k++)
		store_release(&p->text[k], (unsigned char)glob[k]);
}

/* Draw a number for the pattern in slot i, ours with @word. False: the slot is
 * not ours any more. Nothing is to be drawn in a closed segment. */
static bool draw(struct segment *s, uint32_t i, uint64_t word)
{
	unsigned generation = pattern_generation(word);
	enum draw drawn;

	do {
		uint64_t c = load_acquire(&s->hot->stamp);
		uint64_t next =
			pattern_word(c + 1, generation, PATTERN_DRAWING);

		if (c & STAMP_CLOSED)
			return true;
		/* T = C + 1. Carries the text. */
		if (!cas_acqrel(word_of(s, i), &word, next))
			return false;
		word = next;
		drawn = larder_draw(s, c, RING_WILD);
	} while (drawn == DRAW_AGAIN && !MUTANT(RETURN_UNDRAWN));
	store_relaxed(&s->patterns[i].created_ms, larder_clock_ms());
	cas_acqrel(word_of(s, i), &word,
		   pattern_word(pattern_number(word), generation,
				PATTERN_SETTLED));
	return true;
}

bool larder_pattern_invalidate(struct worker *w, const char *glob,
			       uint32_t n_glob, unsigned match)
{
	for (int round = 0; round < CLAIM_ROUNDS; round++) {
		uint64_t word;
		int i = claim(w, &word);

		if (i < 0)
			return false;
		write_text(w, &w->s->patterns[i], word, glob, n_glob, match);
		if (draw(w->s, (uint32_t)i, word))
			return true;
	}
	return false;
}
