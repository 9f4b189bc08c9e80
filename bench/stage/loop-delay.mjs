import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { threadId } from "node:worker_threads";

// Loaded before the service by NODE_OPTIONS=--import, in each of its processes and threads. Records how late a one-millisecond
// timer fires, and writes the records to the folder LOOP_DELAY_FOLDER when the thread ends: see `loop-delay.ts`.

/** @type {[epochMs: number, lateMs: number][]} */
const notes = [];
let due = performance.now() + 1;

function note() {
  const now = performance.now();
  notes.push([performance.timeOrigin + now, Math.max(0, now - due)]);
  due = now + 1;
  setTimeout(note, 1).unref();
}

setTimeout(note, 1).unref();
process.on("exit", () => {
  const file = join(process.env.LOOP_DELAY_FOLDER, `${process.pid}-${threadId}.json`);
  writeFileSync(file, JSON.stringify(notes));
});
