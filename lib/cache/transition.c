/* SPDX-License-Identifier: Apache-2.0 */
/* Linked only while the freshness modules are not in the tree. */
#include "cache/cache.h"
#include <errno.h>
bool larder_fresh_check(struct worker *w, uint32_t unit,const struct entry_view *v, uint64_t key_hash,uint64_t now){return true;}
bool larder_fresh_allows(struct worker *w, const struct entry_plan *plan,uint64_t key_hash, uint64_t stamp){return true;}
void larder_patterns_maintain(struct worker *w, uint64_t swept_ms){}
bool larder_fresh_sweep(struct worker *w, uint32_t unit,const struct entry_view *v, uint64_t key_hash){return true;}
void larder_fresh_close(struct segment *s){}
void larder_fill_close(struct larder *h){} void larder_fill_forked(struct larder *h){} void larder_view_free(struct larder_view *v){}
