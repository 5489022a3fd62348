-- SPDX-License-Identifier: MIT
-- A join in memory large enough to sort, index and group; a known result.
PRAGMA cache_size = -200000;
CREATE TABLE item(id INTEGER PRIMARY KEY, owner INTEGER, size INTEGER, name TEXT);
CREATE TABLE owner(id INTEGER PRIMARY KEY, name TEXT, grp INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
INSERT INTO item SELECT i, (i * 7919) % 5000, (i * 104729) % 10007,
	printf('%0*d', 10 + i % 90, i) FROM n;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)
INSERT INTO owner SELECT i, hex(i * 31), i % 17 FROM n;
CREATE INDEX item_owner ON item(owner, size);
SELECT owner.grp, count(*), sum(item.size), max(item.name), count(DISTINCT item.size)
	FROM item JOIN owner ON item.owner = owner.id
	GROUP BY owner.grp ORDER BY owner.grp;
SELECT a.owner, count(*) FROM item a JOIN item b
	ON a.owner = b.owner AND a.size < b.size WHERE a.owner < 50
	GROUP BY a.owner ORDER BY 2 DESC, 1 LIMIT 10;
DELETE FROM item WHERE id % 3 = 0;
UPDATE item SET name = name || name WHERE id % 5 = 0;
VACUUM;
SELECT count(*), sum(length(name)), group_concat(DISTINCT length(name) % 7) FROM item;
PRAGMA integrity_check;
