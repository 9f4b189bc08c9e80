import type { Clock } from "../time/clock.ts";
import type { Screen } from "./io.ts";

const REDRAW_MS = 100;
const NUMBER = new Intl.NumberFormat("en-US");

export interface ProgressSetup {
  readonly screen: Screen;
  readonly clock: Clock;
  /** Past tense, lower case: what was done to the tokens counted. */
  readonly label: string;
  readonly total?: number | undefined;
  /** False if rows on the same terminal already show the progress. */
  readonly wanted: boolean;
}

/** One line that is updated in place. Draws nothing if `screen` is not a terminal. */
export class Progress {
  readonly #setup: ProgressSetup;
  readonly #start: number;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(setup: ProgressSetup) {
    this.#setup = setup;
    this.#start = setup.clock.monotonic();
  }

  add(count: number): void {
    this.#count += count;
    const { screen, clock, label, total, wanted } = this.#setup;
    const now = clock.monotonic();
    if (!wanted || !screen.isTTY || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    const done = NUMBER.format(this.#count) + (total === undefined ? "" : ` of ${NUMBER.format(total)}`);
    const seconds = (now - this.#start) / 1000;
    const rate = seconds < 0.5 ? "" : `, ${NUMBER.format(Math.round(this.#count / seconds))}/s`;
    screen.write(`\r\x1b[2K${done} ${label}${rate}`);
  }

  /** Removes the line, so that other output can be written. */
  clear(): void {
    if (this.#drawnAt === Number.NEGATIVE_INFINITY) return;
    this.#drawnAt = Number.NEGATIVE_INFINITY;
    this.#setup.screen.write("\r\x1b[2K");
  }
}
