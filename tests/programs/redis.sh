#!/bin/bash
# SPDX-License-Identifier: MIT
# A server, filled the same way each time; the digest is of every key and value.
# It must stay the same beside a benchmark, and through a file and back.
set -euo pipefail

redis=(redis-cli -s "$PWD/socket")

redis-server --port 0 --unixsocket "$PWD/socket" --dir "$PWD" \
	--save '' --enable-debug-command yes --activedefrag no \
	>server.log 2>&1 &
server=$!
until "${redis[@]}" ping >/dev/null 2>&1; do
	kill -0 "$server"
	sleep 0.05
done
awk 'BEGIN {
	for (i = 0; i < 60000; i++) {
		printf "SET key:%d %0*d\r\n", i, 1 + i % 700, i
		printf "HSET hash:%d field:%d %d\r\n", i % 500, i, i * i
		printf "LPUSH list:%d %d\r\n", i % 50, i
		printf "ZADD zset:%d %d member:%d\r\n", i % 20, i % 999, i
		if (i % 3 == 0)
			printf "DEL key:%d\r\n", int(i / 2)
		if (i % 5 == 0)
			printf "APPEND key:%d %0*d\r\n", i, i % 5000, 7
	}
}' </dev/null | "${redis[@]}" --pipe >/dev/null
"${redis[@]}" dbsize
digest=$("${redis[@]}" debug digest)
echo "$digest"
# Many clients at once; the names it writes are its own.
redis-benchmark -s "$PWD/socket" -q -n 100000 -c 50 -r 10000 -d 300 \
	-t set,get,lpush,lpop,hset,spop,zadd,mset >benchmark.log
"${redis[@]}" --raw eval 'local n = 0
	for _, key in ipairs(redis.call("KEYS", "*")) do
		if not key:match("^%a+:%d+$") or key:match("^key:%d%d%d%d%d%d%d%d%d%d%d%d$")
		then redis.call("DEL", key); n = n + 1 end
	end
	return n > 0 and "benchmark data deleted" or "none"' 0
[ "$("${redis[@]}" debug digest)" = "$digest" ]
"${redis[@]}" debug reload
[ "$("${redis[@]}" debug digest)" = "$digest" ]
"${redis[@]}" bgsave >/dev/null
until "${redis[@]}" info persistence | grep -q rdb_bgsave_in_progress:0; do
	sleep 0.05
done
"${redis[@]}" info persistence | tr -d '\r' |
	grep '^rdb_last_bgsave_status'
"${redis[@]}" flushall
"${redis[@]}" shutdown nosave
wait "$server"
# What the library says at the exit of the server, if it is there.
sed -n '/^tract /,$p' server.log >&2
