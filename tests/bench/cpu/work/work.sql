-- SPDX-License-Identifier: Apache-2.0
-- The item "sqlite": inserts, an index, joins, aggregates, sorting, an update, text functions.
create table item(id integer primary key, code text, kind integer, price real);
create table sale(item integer, day integer, n integer);
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 15000)
insert into item select i, printf('%08x-%d', i * 2654435761 % 4294967296, i % 37), i % 11, (i * 7919 % 10007) / 8.0 from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000)
insert into sale select i * 48271 % 15000 + 1, i % 365, i % 9 from n;
commit;
create index item_code on item(code);
create index sale_item on sale(item);
select count(*), sum(n) from sale;
select kind, count(*), sum(price), min(code), max(code) from item group by kind order by kind;
select i.kind, sum(s.n * i.price) from sale s join item i on i.id = s.item group by i.kind order by 2 desc;
select code from item where code between '80' and '81' order by price desc limit 20;
update item set price = price * 1.25 where id in (select item from sale where day < 60);
select sum(price), count(distinct substr(code, 1, 3)) from item;
select upper(code) || length(code), price from item where code like '%a%b%' order by code limit 10;
delete from sale where day % 7 = 0;
select day / 30, sum(n), avg(n) from sale group by 1 order by 1;
