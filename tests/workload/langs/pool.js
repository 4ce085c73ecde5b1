// SPDX-License-Identifier: GPL-2.0-only
// A little work for libuv's threads, then none: they wait for more while the program lives on.
'use strict';
const crypto = require('crypto');
const WORK = 8;
let done = 0;

for (let i = 0; i < WORK; i++)
	crypto.pbkdf2('secret', 'salt', 1000, 64, 'sha512', (error) => {
		if (error)
			throw error;
		if (++done === WORK)
			setTimeout(() => console.log(JSON.stringify({ workload: 'pool.js', pid: process.pid, done })), 1000);
	});
