// SPDX-License-Identifier: Apache-2.0
// The item "node": objects, maps, closures, typed arrays, strings, JSON, sorting, under V8's compilers.
'use strict';

function random(seed) {
	return () => (seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff);
}

class Vec {
	constructor(x, y) { this.x = x; this.y = y; }
	add(o) { return new Vec(this.x + o.x, this.y + o.y); }
	scale(k) { return new Vec(this.x * k, this.y * k); }
}

const next = random(5);
let at = new Vec(0, 0);
for (let i = 0; i < 300000; i++)
	at = at.add(new Vec(next() % 7, next() % 5)).scale(0.5);
console.log(at.x.toFixed(9), at.y.toFixed(9));

const count = new Map();
for (let i = 0; i < 60000; i++) {
	const word = 'k' + (next() >> 8) % 5000;
	count.set(word, (count.get(word) || 0) + 1);
}
console.log(count.size, [...count].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 5).join(' '));

const cells = new Uint32Array(1 << 16);
for (let round = 0; round < 20; round++)
	for (let i = 1; i < cells.length; i++)
		cells[i] = (Math.imul(cells[i - 1], 31) + (cells[i] ^ i)) >>> 0;
console.log(cells[cells.length - 1]);

const rows = Array.from({ length: 4000 }, (_, i) => ({ id: i, name: 'row ' + (next() % 1000), tags: [i % 3, i % 5] }));
const text = JSON.stringify(rows);
const back = JSON.parse(text);
console.log(text.length, back.filter((r) => r.tags[0] === 1).map((r) => r.name.replace(/\d+/, (d) => d * 2)).join('').length);
console.log((text.match(/"name":"row 1\d+"/g) || []).length, text.split(',').sort().slice(0, 3).join(';'));

const parser = (source) => {
	let i = 0;
	const atom = () => {
		if (source[i] === '(') { i++; const v = sum(); i++; return v; }
		let v = 0;
		while (source[i] >= '0' && source[i] <= '9') v = v * 10 + (source.charCodeAt(i++) - 48);
		return v;
	};
	const product = () => { let v = atom(); while (source[i] === '*') { i++; v = (v * atom()) % 1000003; } return v; };
	const sum = () => { let v = product(); while (source[i] === '+') { i++; v = (v + product()) % 1000003; } return v; };
	return sum();
};
const source = Array.from({ length: 3000 }, (_, i) => `(${next() % 99}+${i}*(${next() % 7}+3))`).join('+');
let value = 0;
for (let i = 0; i < 6; i++)
	value = (value * 7 + parser(source)) % 1000003;
console.log(value);
