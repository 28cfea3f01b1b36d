/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mending a superblock. It holds every number twice: as the options and as what
 * the plan makes of them. So one damaged field shows by disagreeing with the
 * others, and is taken from them. Random identity and secret have no second
 * copy; a damaged secret shows as entries in wrong groups.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/repair.h"

/* Words in which a superblock may differ from its plan and still be believed
 * to be one of these options. */
enum { MOST_DIFFERENCES = 8 };

/* What no plan knows. */
static void keep_identity(struct superblock *plan, const struct superblock *sb)
{
	larder_layout_adopt(plan, sb);
	store_relaxed(&plan->ready, 1);
	/* Fences that nobody needed cost time, missing ones cost data. */
	plan->fenced = sb->fenced != 0;
}

static unsigned differences(const struct superblock *a,
			    const struct superblock *b)
{
	const unsigned char *x = (const unsigned char *)a;
	const unsigned char *y = (const unsigned char *)b;
	unsigned n = 0;

	for (size_t i = 0; i + 4 <= sizeof *a; i += 4)
		n += memcmp(x + i, y + i, 4) != 0;
	return n;
}

enum { CANDIDATES = 6 };

/* The options as they stand, or with one of them taken from elsewhere. */
static struct larder_create_options candidate(const struct superblock *sb,
					      uint64_t n_file, unsigned k)
{
	struct larder_create_options o;

	larder_layout_options(sb, &o);
	switch (k) {
	case 1:
		o.bytes = n_file;
		break;
	case 2:
		o.n_slots = (uint32_t)((sb->off_cells - sb->off_slots) /
				       sizeof(struct slot));
		break;
	case 3:
		o.policy = LARDER_POLICY_DEFAULT;
		break;
	case 4:
		o.max_entries = 0;
		break;
	case 5:
		if (o.max_entries)
			o.max_entries = sb->ghost_entries;
		else
			o.entry_hint = 0;
		break;
	default:
		break;
	}
	return o;
}

int larder_repair_superblock(int fd, struct superblock *sb, bool *changed)
{
	struct superblock plan, best;
	unsigned least = MOST_DIFFERENCES + 1;
	struct stat st;
	uint64_t n_file;
	ssize_t n;
	int error;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return LARDER_ERR_NOT_LARDER;
	n_file = (uint64_t)st.st_size;
	n = pread(fd, sb, sizeof *sb, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof *sb)
		return LARDER_ERR_NOT_LARDER;
	*changed = false;
	error = larder_layout_validate(sb, n_file);
	if ((!error || error == LARDER_ERR_TRUNCATED) &&
	    load_relaxed(&sb->ready) == 1)
		return 0;
	for (unsigned k = 0; k < CANDIDATES; k++) {
		const struct larder_create_options o = candidate(sb, n_file, k);
		unsigned different;

		if (larder_layout_plan(&o, &plan))
			continue;
		keep_identity(&plan, sb);
		different = differences(&plan, sb);
		if (different < least) {
			least = different;
			best = plan;
		}
	}
	if (least > MOST_DIFFERENCES)
		return error ? error : LARDER_ERR_DAMAGED;
	/* A larder of another version agrees with no plan of ours, unless its
	 * version is all that differs: then it may be what it says. */
	if (error == LARDER_ERR_VERSION || error == LARDER_ERR_FINGERPRINT ||
	    error == LARDER_ERR_BYTE_ORDER) {
		if (least > 1)
			return error;
	}
	*sb = best;
	*changed = true;
	return 0;
}
