-- SPDX-License-Identifier: MIT
-- A database in memory: filled, indexed, joined, changed, emptied by half.
pragma temp_store = memory;
pragma cache_spill = off;
create table person(id integer primary key, name text, town text, born int);
create table sale(id integer primary key, person int, item text, price int);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
insert into person select i, printf('name %d of %s', i * 7919 % 60000,
	hex(i * 104729 % 65536)), 'town ' || (i * 31 % 500), 1900 + i * 17 % 100 from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 250000)
insert into sale select i, i * 48271 % 60000 + 1,
	printf('%.*c', i % 90 + 1, 'abcdefghij'), i * 69621 % 1000 from n;
create index person_town on person(town, born);
create index sale_person on sale(person, price);
select town, count(*), sum(price), group_concat(distinct born % 10)
	from person join sale on sale.person = person.id
	group by town order by sum(price) desc, town limit 20;
update person set name = upper(name) || ' ' || town where id % 3 = 0;
update sale set item = item || item where id % 5 = 0;
delete from sale where price % 2 = 0;
select count(*), sum(length(item)), sum(price * (id % 97)) from sale;
create table word as select substr(name, 1, 7) || (id % 5000) as w,
	count(*) as c from person group by 1;
select count(*), sum(c), max(w) from word;
with recursive t(i, s) as (select 1, '' union all
	select i + 1, substr(s || char(97 + i * i / 7 % 26), -200) from t where i < 100000)
select count(distinct s), sum(length(s)) from t;
select name, json_group_array(price) from person join sale on sale.person = person.id
	where person.id < 2000 group by person.id order by sum(price), name limit 5;
drop table sale;
drop table word;
pragma shrink_memory;
