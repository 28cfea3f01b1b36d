-- SPDX-License-Identifier: Apache-2.0
--
-- In every worker process of nginx: worker 0 fills the shared dictionary, then
-- all walk their streams of operations at the same time, in turns of a number
-- of seconds counted, after which one get in 64 is timed. Loaded by the
-- configuration that nginx.py writes, which sets bench; what was counted goes
-- to a file a worker.

local ffi = require("ffi")
local bit = require("bit")

ffi.cdef([[
struct bench_time { long s, ns; };
int clock_gettime(int clock, struct bench_time *at);
int memcmp(const char *a, const char *b, size_t n);
]])

local PUT, ROUND, MONOTONIC = 0x80000000, 256, 1
local dict, control = ngx.shared.bench, ngx.shared.control
local me = ngx.worker.id()
local at_now = ffi.new("struct bench_time")

local function now_ns()
	ffi.C.clock_gettime(MONOTONIC, at_now)
	return tonumber(at_now.s) * 1e9 + tonumber(at_now.ns)
end

local function key_of(id)
	return string.format("%08x%08x", id, bit.band(id * 40503, 0xffffff))
end

-- A value is its key, again and again; made and compared outside of Lua's
-- strings, each of which would be hashed and kept.
local expected = ffi.new("char[?]", bench.size)

local function expect(key)
	for at = 0, bench.size - 16, 16 do
		ffi.copy(expected + at, key, 16)
	end
end

local function value_of(key)
	expect(key)
	return ffi.string(expected, bench.size)
end

local function is_value_of(value, key)
	expect(key)
	return value and #value == bench.size and
		ffi.C.memcmp(value, expected, bench.size) == 0
end

local function fill()
	for id = 0, bench.keys - 1 do
		local key = key_of(id)
		local fine, why = dict:safe_set(key, value_of(key))

		if not fine then
			error("no room for key " .. id .. ": " .. why)
		end
	end
end

local stream

local function read_stream()
	local file = assert(io.open(bench.folder .. "/stream." .. me, "rb"))
	local bytes = file:read("*a")

	file:close()
	stream = {
		n = #bytes / 4,
		at = 0,
		bytes = bytes, -- kept: the array points into it
		ops = ffi.cast("const uint32_t *", bytes),
	}
end

-- One round of operations; how many values were wrong.
local function round_of(times)
	local wrong = 0

	for i = 0, ROUND - 1 do
		local op = stream.ops[stream.at]
		local put = op >= PUT
		local key = key_of(put and op - PUT or op)

		stream.at = stream.at + 1
		if stream.at == stream.n then
			stream.at = 0
		end
		if put then
			dict:set(key, value_of(key))
		else
			local begun = times and i % 64 == 0 and now_ns()
			local value = dict:get(key)

			if begun then
				times[#times + 1] = now_ns() - begun
			end
			if not is_value_of(value, key) then
				wrong = wrong + 1
			end
		end
	end
	return wrong
end

local function timer_ns()
	local least = 1e9

	for _ = 1, 1000 do
		local begun = now_ns()

		least = math.min(least, now_ns() - begun)
	end
	return least
end

local function turn(seconds)
	local wrong, n, times, ns = 0, 0, {}, 0
	local begun = now_ns()

	repeat
		wrong = wrong + round_of()
		n = n + ROUND
		ns = now_ns() - begun
	until ns >= seconds * 1e9
	local until_ns = now_ns() + seconds * 1e9 / 2

	while now_ns() < until_ns do
		wrong = wrong + round_of(times)
	end
	return string.format(
		'{"ops": %d, "seconds": %.9f, "timer_ns": %d, "wrong": %d, ' ..
		'"samples": [%s]}', n, ns / 1e9, timer_ns(), wrong,
		table.concat(times, ","))
end

local function run()
	local turns = {}

	if me == 0 then
		fill()
		control:set("filled", true)
	end
	while not control:get("filled") do
		ngx.sleep(0.01)
	end
	read_stream()
	turn(bench.seconds / 5)
	control:incr("ready", 1, 0)
	while control:get("ready") < bench.processes do
		ngx.sleep(0.001)
	end
	for r = 1, bench.repeats do
		turns[r] = turn(bench.seconds)
	end
	local path = bench.folder .. "/result." .. me
	local file = assert(io.open(path .. ".part", "w"))

	file:write('{"memory": ', dict:capacity() - dict:free_space(),
		', "turns": [', table.concat(turns, ","), "]}")
	file:close()
	assert(os.rename(path .. ".part", path))
end

assert(ngx.timer.at(0, function()
	local fine, why = pcall(run)

	if not fine then
		ngx.log(ngx.ERR, why)
		assert(io.open(bench.folder .. "/failed", "w")):close()
	end
end))
