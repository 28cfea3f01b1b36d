/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for outcomes and failures. One sentence each: what was wrong, and what
 * to do about it where the caller can do something.
 */
#include <stddef.h>
#include <string.h>

#include <larder/larder.h>

struct meaning {
	int result;
	const char *text;
};

static const struct meaning meanings[] = {
	{LARDER_OK, "done"},
	{LARDER_MISS, "no such entry, or not valid any more"},
	{LARDER_STALE, "stale: past its soft time to live"},
	{LARDER_LEAD, "the caller leads this fill: compute the value"},
	{LARDER_WAIT, "somebody else is at it"},
	{LARDER_EXISTS, "there is one already"},
	{LARDER_CHANGED, "the entry's version is another one now"},
	{LARDER_NEWER, "somebody put a newer value meanwhile"},
	{LARDER_STALE_FILL, "invalidated since the computation began"},
	{LARDER_NO_SPACE, "no space: nothing could be evicted in time"},
	{LARDER_LEASE_LIMIT, "too much leased already: copy, or release"},
	{LARDER_KEEP_LIMIT, "entries exempt from eviction reached their limit"},
	{LARDER_TIMEOUT, "waited as long as allowed: compute it yourself"},
	{LARDER_NOT_COUNTER, "the entry there is not a counter"},
	{LARDER_TRUNCATED, "the buffer is smaller than the value"},
	{LARDER_KEPT, "the entry is exempt from this"},
	{LARDER_END, "no more entries"},
	{LARDER_ERR_NOT_LARDER, "not a larder segment"},
	{LARDER_ERR_VERSION,
	 "a segment of another layout version: use the program that made it, "
	 "or create a new segment beside it"},
	{LARDER_ERR_FINGERPRINT,
	 "a segment of another architecture or C library: it cannot be shared"},
	{LARDER_ERR_BYTE_ORDER, "a segment of a machine of other byte order"},
	{LARDER_ERR_TRUNCATED,
	 "the file is shorter than the segment: open with recreate to replace "
	 "it"},
	{LARDER_ERR_DAMAGED,
	 "the segment contradicts itself: repair a copy, or open with "
	 "recreate"},
	{LARDER_ERR_OTHER_BOOT,
	 "a segment of another boot or time namespace: its clock is not ours"},
	{LARDER_ERR_NO_MEMBARRIER,
	 "the segment relies on membarrier, which this process may not use: "
	 "create the segment fenced"},
	{LARDER_ERR_SLOTS_FULL,
	 "every worker slot is taken: create the segment with more slots"},
	{LARDER_ERR_CLOSED, "the segment was put aside: open the new one"},
	{LARDER_ERR_UNFINISHED, "the segment's creation never finished"},
	{LARDER_ERR_NESTED_FILL,
	 "this thread is filling this very key already"},
	{LARDER_ERR_REGION_SIZE, "a region of this name has other sizes"},
	{LARDER_ERR_COMPUTE, "the computation failed"},
	{LARDER_ERR_BOOT_UNKNOWN,
	 "this process, or the one that made the segment, cannot read /proc: "
	 "whether it is of this boot cannot be told"},
};

const char *larder_strerror(int result)
{
	const char *text;

	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if (meanings[i].result == result)
			return meanings[i].text;
	if (result < 0 && result > -1000) {
		text = strerrordesc_np(-result);
		if (text)
			return text;
	}
	return "unknown result";
}

const char *larder_version(void)
{
	return LARDER_VERSION;
}
