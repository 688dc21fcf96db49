// SPDX-License-Identifier: Apache-2.0
// Keeps V8 compiling, patching and throwing away code: functions made from text, hidden classes that change under hot
// code, WebAssembly modules, workers. Prints sums that must be the same on every machine. usage: node changing.js ROUNDS
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

function made(round) {
	let sum = 0;
	for (let i = 0; i < 60; i++) {
		const f = new Function('x', `let s = ${i + round} | 0; for (let k = 0; k < 400; k++) s = (Math.imul(s, ${2 * i + 3}) + x) | 0; return s;`);
		for (let k = 0; k < 60; k++)
			sum = (sum + f(k)) | 0;
	}
	return sum;
}

function shapes(round) {
	const hot = (o) => o.a * 3 + o.b;
	let sum = 0;
	for (let i = 0; i < 120000; i++) {
		const o = i < 40000 ? { a: i, b: round } : i < 80000 ? { b: round, a: i } : { a: i + 0.5, c: 1, b: round };
		sum += hot(o);
	}
	return sum;
}

function wasm(round) { // (func (param i32) (result i32)): a loop that folds its parameter
	const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 34, 1, 32, 1, 1,
		127, 65, 1 + (round % 60), 33, 1, 3, 64, 32, 1, 65, 31, 108, 32, 0, 106, 33, 1, 32, 0, 65, 127, 106, 34, 0, 13, 0, 11, 32, 1, 11];
	let sum = 0;
	for (let i = 0; i < 8; i++) {
		const module = new WebAssembly.Module(new Uint8Array(bytes));
		sum = (sum + new WebAssembly.Instance(module).exports.f(20000 + i)) | 0;
	}
	return sum;
}

const work = (seed) => [made(seed), shapes(seed), wasm(seed)].join(' ');

if (!isMainThread) {
	parentPort.postMessage(work(workerData));
} else {
	(async () => {
		for (let r = 0; r < Number(process.argv[2]); r++) {
			const other = new Promise((done, fail) => {
				const w = new Worker(__filename, { workerData: r + 1000 });
				w.on('message', done);
				w.on('error', fail);
			});
			console.log(`result node ${r} ${work(r)} | ${await other}`);
		}
	})();
}
