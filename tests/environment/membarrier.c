/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that denies membarrier, as a container's seccomp profile may.
 *
 * Invariant: where it is denied segments are created fenced and work the same;
 * an attachment that could not be registered for it is refused by name; one
 * that loses it later frees no memory that another may still be reading, and
 * gets on through those that have it.
 */
#include "ground.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <larder/admin.h>

enum { MIB = 1 << 20, SCRIPTED_PUTS = 20000 };

static bool is_fenced(const char *path)
{
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_inspector *inspector;

	need(larder_inspect(path, &inspector) == 0, "larder_inspect");
	larder_inspect_info(inspector, &info);
	larder_inspect_close(inspector);
	return info.fenced;
}

/* Every value says its key, so that a torn or foreign one is seen. Puts over
 * many times what fits; 0, or the first bad result. */
static int churn(struct larder *h, unsigned n_puts)
{
	char key[32], value[600], back[600];
	size_t n;

	for (unsigned i = 0; i < n_puts; i++) {
		int error;

		snprintf(key, sizeof key, "key %u", i % 5000);
		memset(value, (int)('a' + i % 5000 % 26), sizeof value);
		error = larder_put(h, key, strlen(key), value, sizeof value,
				   NULL);
		if (error)
			return error;
		if (larder_get(h, key, strlen(key), back, sizeof back, &n) ==
			    LARDER_OK &&
		    (n != sizeof value || memcmp(value, back, n)))
			return -EBADMSG;
	}
	return 0;
}

static int churner(int i, void *context)
{
	struct larder *h;
	int error = larder_open(context, NULL, &h);

	if (!error) {
		error = churn(h, SCRIPTED_PUTS);
		larder_close(h);
	}
	claim(error == 0, "a worker %s membarrier puts %d times: '%s'",
	      i ? "without" : "with", SCRIPTED_PUTS, larder_strerror(error));
	return n_failed() != 0;
}

static int denied_churner(int i, void *context)
{
	if (!deny(SYS_membarrier, ANY_ARGUMENT, EPERM))
		return NOT_ALLOWED;
	return churner(i, context);
}

static int denied_at_creation(void)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};
	char path[128];
	struct larder *h;
	int bad = 0;

	snprintf(path, sizeof path, "%s", in_folder("fenced"));
	if (!deny(SYS_membarrier, ANY_ARGUMENT, ENOSYS))
		return NOT_ALLOWED;
	h = segment_in("fenced", &o);
	claim(is_fenced(path), "a segment created without it is fenced");
	bad |= reap(spawn(churner, 1, path));
	bad |= churn(h, SCRIPTED_PUTS);
	claim(counter(h, "evictions") > 0, "memory was reused many times");
	claim_sound(h, "after puts without membarrier");
	larder_close(h);
	return bad;
}

/* Some have it and some have not: fenced is the segment's property. */
static int mixed(void)
{
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = MIB,
					  .flags = LARDER_CREATE_FENCED};
	struct larder *h = segment_in("mixed", &o);
	char path[128];
	pid_t pid[4];
	int bad = 0;

	snprintf(path, sizeof path, "%s", larder_path(h));
	claim(is_fenced(path), "a segment is fenced where that is asked for");
	for (int i = 0; i < 4; i++)
		pid[i] = spawn(i % 2 ? denied_churner : churner, i % 2, path);
	for (int i = 0; i < 4; i++)
		bad |= reap(pid[i]);
	claim_sound(h, "after puts of both kinds");
	larder_close(h);
	return bad;
}

static int refused(int i, void *context)
{
	const char *path = context;
	struct larder_inspector *inspector;
	struct larder *h = NULL;
	int error;

	/* Registered by the parent and inherited: only an exec clears that, so
	 * the refusal is the registration's own. */
	if (!deny(SYS_membarrier,
		  i ? ANY_ARGUMENT : MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
		  EPERM))
		return NOT_ALLOWED;
	error = larder_open(path, NULL, &h);
	claim(error == LARDER_ERR_NO_MEMBARRIER, "%s: refused with '%s'",
	      i ? "without any membarrier" : "without registration",
	      larder_strerror(error));
	error = larder_inspect(path, &inspector);
	claim(error == 0, "looking from outside needs none: '%s'",
	      larder_strerror(error));
	if (!error)
		larder_inspect_close(inspector);
	return n_failed() != 0;
}

static int unregistered(void)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};
	struct larder *h = segment_in("strict", &o);
	char path[128];
	int bad = 0;

	if (is_fenced(larder_path(h)))
		return NOT_ALLOWED;
	snprintf(path, sizeof path, "%s", larder_path(h));
	for (int i = 0; i < 2; i++)
		bad |= reap(spawn(refused, i, path));
	claim_works(h, "key", 100);
	larder_close(h);
	return bad;
}

/* What a worker may still do that loses membarrier under its feet. */
struct loss {
	_Atomic uint32_t leased, churned;
	struct larder *h;
};

static int leaser(int i, void *context)
{
	struct loss *loss = context;
	struct larder_view view;
	char want[600];

	memset(want, 'L', sizeof want);
	need(larder_put(loss->h, "leased", 6, want, sizeof want, NULL) == 0,
	     "a put");
	need(larder_lease(loss->h, "leased", 6, &view) == 0, "a lease");
	atomic_store(&loss->leased, 1);
	await(&loss->churned, 1);
	claim(!memcmp(view.value, want, sizeof want),
	      "what another has leased did not change meanwhile");
	larder_release(loss->h, &view);
	return n_failed() != 0;
}

static int loser(int i, void *context)
{
	struct loss *loss = context;
	uint64_t epochs, puts;
	int error;

	need(larder_attach_thread(loss->h) == 0, "attaching");
	if (!deny(SYS_membarrier, ANY_ARGUMENT, EPERM))
		return NOT_ALLOWED;
	epochs = counter(loss->h, "epochs");
	puts = counter(loss->h, "puts");
	error = churn(loss->h, SCRIPTED_PUTS);
	claim(error == LARDER_NO_SPACE,
	      "one that lost membarrier alone ends with '%s' after %llu puts",
	      larder_strerror(error),
	      (unsigned long long)(counter(loss->h, "puts") - puts));
	claim(counter(loss->h, "epochs") == epochs,
	      "and has moved no epoch, so freed nothing");
	return n_failed() != 0;
}

static int lost_later(void)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};
	struct loss *loss = shared(sizeof *loss);
	pid_t lease, pid;
	int bad;

	loss->h = segment_in("lost", &o);
	if (is_fenced(larder_path(loss->h)))
		return NOT_ALLOWED;
	lease = spawn(leaser, 0, loss);
	await(&loss->leased, 1);
	pid = spawn(loser, 0, loss);
	bad = reap(pid);
	claim(churn(loss->h, SCRIPTED_PUTS) == 0,
	      "one that has it goes on, and frees what the other could not");
	atomic_store(&loss->churned, 1);
	bad |= reap(lease);
	claim_sound(loss->h, "after the loss");
	larder_close(loss->h);
	return bad;
}

int main(void)
{
	folder();
	stage("denied at creation", denied_at_creation);
	stage("a fenced segment, with and without", mixed);
	stage("an unregistered attachment", unregistered);
	stage("lost after attaching", lost_later);
	return curtain();
}
