-- SPDX-License-Identifier: MIT
-- Buffers of malloc() held by Lua objects, as bindings to C libraries hold them,
-- and freed when the collector finds them.  Lua's own objects lie in an
-- allocator of LuaJIT's, which no preload replaces.

local ffi = require("ffi")
local bit = require("bit")

ffi.cdef [[
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *p, size_t size);
void free(void *p);
int usleep(unsigned usec);
typedef struct timespec { long sec, nsec; } timespec;
int clock_gettime(int clock, timespec *now);
]]

local C = ffi.C
local steps = tonumber(arg[1])
local seed = 1

local function random(n)
	seed = (seed * 16807) % 2147483647
	return seed % n
end

local digest = 0
local function take_in(x)
	digest = bit.bxor(bit.rol(digest, 5), bit.tobit(x)) * 1
end

-- A picture, a row of words, a growing string: all of them buffers.
local function buffer(size)
	local p = ffi.cast("uint8_t *", C.malloc(size))
	assert(p ~= nil)
	return ffi.gc(p, C.free)
end

local function picture(w, h)
	local p = ffi.gc(ffi.cast("uint8_t *", C.calloc(w, h)), C.free)
	assert(p ~= nil)
	for i = 0, w * h - 1, 7 do
		p[i] = (i * w) % 251
	end
	return { p = p, w = w, h = h }
end

local function halved(from)
	local w, h = math.floor(from.w / 2), math.floor(from.h / 2)
	local to = picture(w, h)
	for y = 0, h - 1 do
		for x = 0, w - 1, 4 do
			to.p[y * w + x] = from.p[2 * y * from.w + 2 * x]
		end
	end
	return to
end

local function growing(n)
	local size, p = 16, ffi.cast("uint8_t *", C.malloc(16))
	for i = 0, n - 1 do
		if i == size then
			size = size * 2
			p = ffi.cast("uint8_t *", C.realloc(p, size))
		end
		p[i] = i % 256
	end
	local sum = p[n - 1] + p[math.floor(n / 2)]
	C.free(p)
	return sum
end

local kept = {}
for n = 1, steps do
	local k = random(2000) + 1
	kept[k] = buffer(random(600) + 16)
	kept[k][0], kept[k][15] = k % 256, n % 256
	take_in(growing(random(300) + 1))
	if n % 400 == 0 then
		local p = picture(random(400) + 200, random(400) + 200)
		while p.w > 8 and p.h > 8 do
			p = halved(p)
		end
		take_in(p.p[0] + p.p[7])
	end
	-- Lua does not know how large the buffers are.
	if n % 20000 == 0 then
		collectgarbage()
	end
end
for k = 1, 2000 do
	if kept[k] then
		take_in(kept[k][0] * 256 + kept[k][15])
	end
end
print(bit.tohex(digest))

kept = nil
collectgarbage()
collectgarbage()
local now = ffi.new("timespec")
local function clock()
	C.clock_gettime(1, now)
	return tonumber(now.sec) + tonumber(now.nsec) * 1e-9
end
local begin = clock()
for _ = 1, 10 do
	C.usleep(100000)
	C.free(C.malloc(100))
end
local status = io.open("/proc/self/status"):read("*a")
print(string.format("rested %.6f rss %s", clock() - begin,
	status:match("VmRSS:%s*(%d+)")))
