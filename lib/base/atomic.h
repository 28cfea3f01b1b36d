/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomic operations, named by their memory order.
 *
 * The only file that includes <stdatomic.h>: a reader of any other file sees
 * the order at each access, and no bare `x++` on an atomic can hide there. All
 * operations are address-free, so they work between processes that mapped the
 * same memory at different addresses.
 *
 * Edges between two of these carry a label, [WORD.n], cited at both ends and
 * listed in lib/DESIGN.md.
 */
#ifndef LARDER_BASE_ATOMIC_H
#define LARDER_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t atomic_u64;
typedef _Atomic uint32_t atomic_u32;
typedef _Atomic uint16_t atomic_u16;
typedef _Atomic uint8_t atomic_u8;

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");

#define load_relaxed(p)	    atomic_load_explicit(p, memory_order_relaxed)
#define load_acquire(p)	    atomic_load_explicit(p, memory_order_acquire)
#define store_relaxed(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit(p, v, memory_order_release)

/* On failure *expected holds what was seen, loaded with acquire. */
#define cas_acqrel(p, expected, desired)                                       \
	atomic_compare_exchange_strong_explicit(p, expected, desired,          \
						memory_order_acq_rel,          \
						memory_order_acquire)

#define exchange_acqrel(p, v)                                                  \
	atomic_exchange_explicit(p, v, memory_order_acq_rel)
#define fetch_add_relaxed(p, v)                                                \
	atomic_fetch_add_explicit(p, v, memory_order_relaxed)
#define fetch_add_acqrel(p, v)                                                 \
	atomic_fetch_add_explicit(p, v, memory_order_acq_rel)
#define fetch_sub_relaxed(p, v)                                                \
	atomic_fetch_sub_explicit(p, v, memory_order_relaxed)
#define fetch_sub_acqrel(p, v)                                                 \
	atomic_fetch_sub_explicit(p, v, memory_order_acq_rel)
#define fetch_or_acqrel(p, v)                                                  \
	atomic_fetch_or_explicit(p, v, memory_order_acq_rel)
#define fetch_and_acqrel(p, v)                                                 \
	atomic_fetch_and_explicit(p, v, memory_order_acq_rel)

#if defined(__SANITIZE_THREAD__)
#define LARDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LARDER_TSAN 1
#endif
#endif

/* gcc warns that TSan does not model fences. Where one stands, the edge that
 * matters to TSan is an acquire or release beside it (see the edge index). */
#if !defined(__clang__) && defined(LARDER_TSAN)
#pragma GCC diagnostic ignored "-Wtsan"
#endif
#define fence_seqcst() atomic_thread_fence(memory_order_seq_cst)
/* Behind a compare-and-swap of the same thread, which on x86 is one already. */
#if defined(__x86_64__) || defined(__i386__)
#define fence_after_cas() compiler_barrier()
#else
#define fence_after_cas() fence_seqcst()
#endif
#define fence_acquire()	   atomic_thread_fence(memory_order_acquire)
#define compiler_barrier() atomic_signal_fence(memory_order_seq_cst)

#if defined(__x86_64__) || defined(__i386__)
#define cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cpu_relax() __asm__ __volatile__("yield")
#else
#define cpu_relax() compiler_barrier()
#endif

/* Raise *p to at least v. True if this call raised it. */
static inline bool raise_acqrel(atomic_u64 *p, uint64_t v)
{
	uint64_t seen = load_acquire(p);

	while (seen < v)
		if (cas_acqrel(p, &seen, v))
			return true;
	return false;
}

#endif
