// SPDX-License-Identifier: GPL-2.0-only
// libuv's pool and worker threads under load: files, hashes, workers that come and go.
const crypto = require("crypto");
const fs = require("fs");
const { Worker, isMainThread } = require("worker_threads");

if (isMainThread) {
  setInterval(() => fs.readFile(__filename, () => {}), 5);
  setInterval(() => crypto.pbkdf2("a", "b", 2000, 64, "sha512", () => {}), 20);
  const start = () => new Worker(__filename).on("exit", () => setTimeout(start, 300));
  start();
} else {
  crypto.pbkdf2Sync("a", "b", 10000, 64, "sha512");
}
