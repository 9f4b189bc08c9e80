// Loaded before everything else into a process whose memory is watched. Between two collections memory is mostly garbage,
// tens of megabytes of it: no slope of a megabyte an hour would ever show. What is left after one is what the process holds.
import { writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { isMainThread } from "node:worker_threads";

const EVERY_MS = 10_000;

if (isMainThread) {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const note = () => {
    collect();
    const { heapUsed, external, rss } = process.memoryUsage();
    writeFileSync(process.env.SOAK_LIVE_MEMORY, `${heapUsed + external} ${rss}`);
  };
  setInterval(note, EVERY_MS).unref();
}
