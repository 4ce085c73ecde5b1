// SPDX-License-Identifier: GPL-2.0-only
// stuck.js N: N threads of libuv's pool open FIFOs that nobody writes to (UV_THREADPOOL_SIZE must be N), and two
// workers wait in Atomics.wait(). Prints the line of hang.h; ends by itself after two minutes.
'use strict';
const { execFileSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { Worker, isMainThread, workerData } = require('worker_threads');

const MAX_MS = 120_000;

// Threads in this call, and what /proc says of it.
function waiting(call) {
    const found = new Map();
    for (const tid of fs.readdirSync('/proc/self/task')) {
        try {
            const line = fs.readFileSync(`/proc/self/task/${tid}/syscall`, 'ascii');
            if (line.split(' ')[0] === call)
                found.set(tid, line);
        } catch {
            // it has ended
        }
    }
    return found;
}

// A worker that starts opens files, too, for a moment: who waits is in the same call at two looks.
function say(count, directory, before) {
    const now = waiting(process.arch === 'x64' ? '257' : '56'); // openat
    const opening = [...now.keys()].filter((tid) => before.get(tid) === now.get(tid));
    if (opening.length < count) {
        setTimeout(say, 50, count, directory, now);
        return;
    }
    fs.rmSync(directory, { recursive: true });
    const row = (tid) => ({ role: 'opener', pid: process.pid, tid: Number(tid), calls: ['openat'],
                            lock: null, functions: [] });
    console.log(JSON.stringify({ workload: 'stuck.js', how: '', pid: process.pid,
                                 threads: opening.map(row), locks: [] }));
}

function main() {
    const count = Number(process.argv[2]);
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'holdup-hang-'));
    const fifo = path.join(directory, 'fifo');
    const word = new Int32Array(new SharedArrayBuffer(4));

    execFileSync('mkfifo', [fifo]);
    for (let i = 0; i < 2; i++)
        new Worker(__filename, { workerData: word });
    for (let i = 0; i < count; i++)
        fs.open(fifo, 'r', () => {});
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), MAX_MS);
    setTimeout(say, 50, count, directory, new Map());
}

if (isMainThread)
    main();
else
    Atomics.wait(workerData, 0, 0);
