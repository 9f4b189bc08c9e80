// Preloaded into a process whose memory is measured. Between two collections memory is mostly garbage, tens of megabytes of it,
// which would hide a slope of a megabyte an hour. Memory in use is measured right after a collection.
import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";

const EVERY_MS = 10_000;

/** Without file pages, which the kernel loads and drops at any time. A leak is never among them. */
function anonymousBytes() {
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
}

if (isMainThread) {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const note = () => {
    collect();
    const { heapUsed, external, heapTotal } = process.memoryUsage();
    writeFileSync(process.env.SOAK_LIVE_MEMORY, `${heapUsed + external} ${heapTotal} ${anonymousBytes()}`);
  };
  setInterval(note, EVERY_MS).unref();
}
