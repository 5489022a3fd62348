// SPDX-License-Identifier: MIT
// Keeps a little of everything it allocates, so that free pages lie scattered.
let sum = 0, keep = [];
function block(i) { const u = new Uint8Array(24000 + (i * 7919) % 9000); u[0] = i; u[u.length - 1] = i; return u; }
for (let round = 0; round < 8; round++) {
  const all = [];
  for (let i = 0; i < 12000; i++) all.push(block(i));
  for (let i = 0; i < all.length; i++) { sum += all[i][0] + all[i][all[i].length - 1]; if (i % 2 == 0) keep.push(all[i]); }
  if (keep.length > 30000) keep = keep.filter((x, i) => i % 3 != 0);
}
sum + ":" + keep.length;
