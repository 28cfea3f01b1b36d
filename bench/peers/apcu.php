<?php
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills APCu, forks, and lets every process walk its stream of operations:
 * turns of a number of seconds counted, then one get in 64 timed. Started by
 * apcu.py, which names a folder of streams; prints what each process counted.
 */

const PUT = 0x80000000;
const ROUND = 256;

[, $folder, $keys, $size, $processes, $seconds, $repeats] = $argv;

function key_of(int $id): string
{
	return sprintf('%016x', $id * 0x9e3779b1);
}

function value_of(string $key, int $size): string
{
	return str_repeat($key, intdiv($size, 16));
}

for ($id = 0; $id < $keys; $id++) {
	$key = key_of($id);
	if (!apcu_store($key, value_of($key, (int)$size))) {
		fwrite(STDERR, "apcu: no room for key $id of $keys\n");
		exit(1);
	}
}
$memory = apcu_sma_info(true);
$memory = $memory['num_seg'] * $memory['seg_size'] - $memory['avail_mem'];

/* One round of operations; how many values were wrong. Samples go to $times. */
function round_of(array $ops, int &$at, int $size, ?array &$times): int
{
	$wrong = 0;
	$n = count($ops);
	for ($i = 0; $i < ROUND; $i++) {
		$op = $ops[$at];
		if (++$at == $n)
			$at = 0;
		$key = key_of($op & ~PUT);
		if ($op & PUT) {
			apcu_store($key, value_of($key, $size));
			continue;
		}
		if ($times !== null && $i % 64 == 0) {
			$begun = hrtime(true);
			$value = apcu_fetch($key);
			$times[] = hrtime(true) - $begun;
		} else {
			$value = apcu_fetch($key);
		}
		$wrong += $value !== value_of($key, $size);
	}
	return $wrong;
}

function timer_ns(): int
{
	$least = PHP_INT_MAX;
	for ($i = 0; $i < 1000; $i++) {
		$begun = hrtime(true);
		$least = min($least, hrtime(true) - $begun);
	}
	return $least;
}

function turn(array $ops, int &$at, int $size, float $seconds): array
{
	$none = null;
	$times = [];
	$wrong = $n = 0;
	$begun = hrtime(true);
	do {
		$wrong += round_of($ops, $at, $size, $none);
		$n += ROUND;
		$ns = hrtime(true) - $begun;
	} while ($ns < $seconds * 1e9);
	$until = hrtime(true) + $seconds * 1e9 / 2;
	while (hrtime(true) < $until)
		$wrong += round_of($ops, $at, $size, $times);
	return ['ops' => $n, 'seconds' => $ns / 1e9, 'samples' => $times,
		'timer_ns' => timer_ns(), 'wrong' => $wrong];
}

for ($p = 0; $p < $processes; $p++) {
	if (pcntl_fork() != 0)
		continue;
	$ops = array_values(unpack('V*',
		file_get_contents("$folder/stream.$p")));
	$at = 0;
	$turns = [];
	turn($ops, $at, (int)$size, (float)$seconds / 5);
	/* All begin together. */
	apcu_inc('ready');
	while (apcu_fetch('ready') < $processes)
		usleep(1000);
	for ($r = 0; $r < $repeats; $r++)
		$turns[] = turn($ops, $at, (int)$size, (float)$seconds);
	file_put_contents("$folder/result.$p", json_encode($turns));
	exit(0);
}
while (pcntl_waitpid(-1, $status) > 0)
	if ($status != 0)
		exit(1);
$turns = [];
for ($r = 0; $r < $repeats; $r++)
	for ($p = 0; $p < $processes; $p++)
		$turns[$r][] = json_decode(
			file_get_contents("$folder/result.$p"), true)[$r];
echo json_encode(['turns' => $turns, 'memory' => $memory]);
