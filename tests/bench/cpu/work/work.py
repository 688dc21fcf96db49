# SPDX-License-Identifier: Apache-2.0
"""The item "python": objects, dictionaries, strings, numbers, JSON, regular expressions."""
import collections
import hashlib
import heapq
import json
import re


class Shape:
    def __init__(self, w, h):
        self.w, self.h = w, h

    def area(self):
        return self.w * self.h


class Square(Shape):
    def __init__(self, w):
        super().__init__(w, w)


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def numbers(count, seed=1):
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) & 0x7fffffff
        yield seed


print(fib(19))
rand = list(numbers(20000))
print(sum(Shape(a % 17, a % 13).area() + Square(a % 5).area() for a in rand))
words = ["".join(chr(97 + (n >> s) % 26) for s in (3, 9, 14)) for n in rand]
count = collections.Counter(words)
print(count.most_common(5), len(count))
text = json.dumps({"rows": [{"id": i, "name": w, "v": n / 7} for i, (w, n) in enumerate(zip(words[:2500], rand))]})
back = json.loads(text)
print(len(text), sum(r["id"] for r in back["rows"]), hashlib.sha256(text.encode()).hexdigest())
print(len(re.findall(r"\"([a-f]\w+)\"", text)), len(re.sub(r"[aeiou]+", "", text)))
heap = []
for n in rand[:8000]:
    heapq.heappush(heap, n)
print([heapq.heappop(heap) for _ in range(8000)][::999])
sieve = bytearray([1]) * 60000
for i in range(2, 245):
    if sieve[i]:
        sieve[i * i::i] = bytes(len(range(i * i, 60000, i)))
print(sum(sieve))
grid = {(x, y) for x in range(40) for y in range(40) if (x * 7 + y * 3) % 4 == 0}
for _ in range(3):
    near = collections.Counter((x + a, y + b) for x, y in grid for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b)
    grid = {p for p, n in near.items() if n == 3 or (n == 2 and p in grid)}
print(len(grid), pow(3, 10 ** 400 + 7, 10 ** 60 + 7), sorted(rand)[::4000])
