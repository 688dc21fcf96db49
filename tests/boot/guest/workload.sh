#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Deterministic work for a guest and for the host: each line of output must be the same on both.
# usage: workload.sh [SCALE]   (1: a few seconds natively)
export LC_ALL=C TZ=UTC PYTHONHASHSEED=0
n=${1:-1}
d=$(mktemp -d) || exit 1
cd "$d" || exit 1
seq 1 $((60000 * n)) | awk '{ printf "%d %x %o line of text number %d\n", $1, $1 * 7919, $1 * 31, $1 % 97 }' >data

sum() { sha256sum | cut -c1-64; }
show() { echo "workload $1: $2"; }

show data "$(sum <data)"
show gzip "$(gzip -9nc data | sum)"
show gunzip "$(gzip -9nc data | gzip -dc | sum)"
show xz "$(head -c $((1500000 * n)) data | xz -T1 -6 -c | sum)"
show unxz "$(head -c $((1500000 * n)) data | xz -T1 -3 -c | xz -dc | sum)"
show sort "$(sort -k3,3 -k1,1nr data | sum)"
show md5 "$(md5sum <data | cut -c1-32)"
show sha512 "$(sha512sum <data | cut -c1-128)"
show perl "$(perl -e '
	my ($s, %h, @a) = (1);
	for my $i (1 .. 100000) { $s = ($s * 69069 + 1) % 4294967296; $h{$s % 1009} += $i; push @a, $s if $i % 100 == 0 }
	print join(",", map { "$_=$h{$_}" } sort { $a <=> $b } keys %h), ";", join(",", sort { $a <=> $b } @a);
	printf " %.15g %.15g %s", sqrt(2) ** 0.5, exp(1) / 3, join "", map { chr(97 + $_ % 26) } @a;
' | sum)"
show python "$(python3 -c '
import hashlib, json, math, re, struct, zlib, collections, fractions, decimal, random
r = random.Random(42)
a = [r.random() for _ in range(40000)]
print(repr(sum(a)), repr(math.fsum(a)), repr(max(map(math.sin, a))), repr(math.exp(a[7])), repr(math.log(a[9])))
print(hashlib.sha256(json.dumps(sorted(a)[:2000]).encode()).hexdigest(), zlib.crc32(struct.pack("<1000d", *a[:1000])))
print(len(re.findall(r"(\d+) ([0-9a-f]+)", open("data").read())), pow(3, 4001, 10**50 + 151), math.factorial(600) % (10**61 + 7))
print(collections.Counter(int(x * 16) for x in a), fractions.Fraction(355, 113) ** 9, decimal.Decimal(2).sqrt())
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
print(fib(21), [x ** 0.5 for x in range(9)], float("1e308") * 10, 0.1 + 0.2, 7 // -2, -7 % 3, round(2.675, 2))
' | sum)"
show sqlite "$(sqlite3 :memory: "
create table t(a integer primary key, b text, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
insert into t select i, printf('%08x-%d', i * 2654435761 % 4294967296, i % 37), i / 7.0 from n;
create index tb on t(b);
select count(*), sum(a), avg(c), min(b), max(b) from t;
select substr(b, 1, 2) as p, count(*), total(c) from t group by p order by 2 desc, 1 limit 20;
select a, b from t where b between '8' and '81' order by b limit 15;" | sum)"
show awk "$(awk '{ s[$1 % 13] += $1 * 1.5; t += length($0) } END { for (i = 0; i < 13; i++) printf "%d %.6f\n", i, s[i]; print t }' data | sum)"
show find "$(mkdir -p x/y/z && for i in 1 2 3 4 5 6 7 8 9; do echo $i >x/y/z/f$i; ln -s f$i x/y/z/l$i; done; find x | sort | sum)"
cd / && rm -rf "$d"
echo "workload done"
