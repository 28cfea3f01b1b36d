/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaches to a segment, does what its second argument says, says "ready", and
 * waits to be ended: hold SEGMENT attach|lease|fill|churn.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <larder/larder.h>

/* Puts, gets and removes of a few keys of many sizes, for ever. */
static int churn(struct larder *h)
{
	static char value[40000];
	unsigned long n = 0;

	printf("ready\n");
	fflush(stdout);
	for (;; n++) {
		struct larder_tag tag = {"churned", 7};
		struct larder_put_options o = {
			.size_of = sizeof o,
			.tags = &tag,
			.n_tags = n & 1,
			.ttl_ms = n % 3 ? 0 : 20,
		};
		char key[32];
		int n_key = snprintf(key, sizeof key, "churn-%lu", n % 997);
		size_t n_value = n * 7919 % sizeof value;
		size_t n_got;

		if (n % 5 == 0)
			n_value = n % 100;
		if (larder_put(h, key, (size_t)n_key, value, n_value, &o) < 0)
			return 1;
		larder_get(h, key, (size_t)n_key, value, sizeof value, &n_got);
		if (n % 11 == 0)
			larder_remove(h, key, (size_t)n_key);
		if (n % 501 == 0)
			larder_invalidate_tag(h, "churned", 7);
	}
}

int main(int argc, char **argv)
{
	struct larder_fill fill;
	struct larder_view view;
	struct larder *h;
	int result;

	if (argc != 3 || larder_open(argv[1], NULL, &h))
		return 1;
	result = larder_attach_thread(h);
	if (!result && !strcmp(argv[2], "lease"))
		result = larder_lease(h, "leased", 6, &view);
	else if (!result && !strcmp(argv[2], "fill"))
		result = larder_fill_begin(h, "filled", 6, NULL, &fill,
					   &view) != LARDER_LEAD;
	else if (!result && !strcmp(argv[2], "churn"))
		return churn(h);
	if (result)
		return 1;
	printf("ready\n");
	fflush(stdout);
	for (;;)
		pause();
}
