-- SPDX-License-Identifier: MIT
-- Compiles many small functions; returns what they compute, and how often the
-- compiler had no memory for code.
local vmdef = require("jit.vmdef")
local aborts = 0

jit.attach(function(what, trace, func, pc, code)
	if what == "abort" and type(code) == "number" and
	    vmdef.traceerr[code] == "failed to allocate mcode memory" then
		aborts = aborts + 1
	end
end, "trace")

local sum = 0

for i = 1, 150 do
	local f = loadstring(string.format([[
		local n = ...
		local x = 0
		for k = 1, 200 do
			if k %% %d == 0 then x = x + k * n else x = x - %d end
		end
		return x]], i % 7 + 2, i))
	sum = sum + f(i)
end
return sum, aborts
