// SPDX-License-Identifier: MIT
// Objects, arrays, buffers and strings, most of them soon garbage.
let sum = 0, keep = [];
for (let round = 0; round < 30; round++) {
  let a = [];
  for (let i = 0; i < 20000; i++) a.push({ id: i, name: "n" + i, list: new Array(i % 50).fill(i) });
  for (const o of a) sum = (sum + o.list.length * o.id) % 1000003;
  keep.push(a.filter(o => o.id % 97 == round));
  if (keep.length > 10) keep.shift();
  let b = [];
  for (let i = 0; i < 200; i++) { const u = new Uint8Array(1 + (i * 7919) % 300000); u[0] = i; b.push(u); }
  for (const u of b) sum += u[0];
  let s = ""; for (let i = 0; i < 2000; i++) s += a[i].name; sum += s.length;
}
sum;
