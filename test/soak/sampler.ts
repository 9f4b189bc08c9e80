import { type Held, heldBytes, processUsage, type Usage } from "./process-usage.ts";
import { type Sample, type Trend, trendOf } from "./trend.ts";

const SAMPLE_MS = 1000;
/** Long enough to average over garbage collections, short enough for several in a run of minutes. */
const BLOCK_MS = 30_000;

export interface WatchedProcess {
  readonly name: string;
  readonly pid: number;
  /** The file of its reports: see `watchedEnvironment`. */
  readonly liveFile: string;
}

export interface SamplerSetup {
  readonly processes: readonly WatchedProcess[];
  readonly warmUpMs: number;
  /** By the monotonic clock. */
  readonly began: number;
}

/** The growth since the warm-up of the processes that ran throughout. */
export interface Growth {
  readonly processes: readonly ProcessGrowth[];
  /** The duration of the measurement. */
  readonly measuredMs: number;
  readonly latest: readonly (Usage & { readonly name: string; readonly held: Held | undefined })[];
}

export interface ProcessGrowth {
  readonly name: string;
  /** Heap bytes after a collection. Undefined if there are too few samples. */
  readonly live: Trend | undefined;
  /** Resident bytes without file pages, right after a collection. */
  readonly rss: Trend | undefined;
  readonly descriptors: Trend | undefined;
  /** At the beginning and end of the measurement. */
  readonly rssBytes: readonly [number, number];
  readonly descriptorCounts: readonly [number, number];
}

interface Series extends WatchedProcess {
  readonly live: Sample[];
  readonly rss: Sample[];
  readonly descriptors: Sample[];
  latest: (Usage & { readonly held: Held | undefined }) | undefined;
}

/** Samples the resources of processes once a second. */
export class Sampler {
  readonly #setup: SamplerSetup;
  readonly #series: readonly Series[];
  #timer: NodeJS.Timeout | undefined;
  #sampling: Promise<void> = Promise.resolve();

  constructor(setup: SamplerSetup) {
    this.#setup = setup;
    this.#series = setup.processes.map(({ name, pid, liveFile }) => ({
      name,
      pid,
      liveFile,
      live: [],
      rss: [],
      descriptors: [],
      latest: undefined,
    }));
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#sampling = this.#sample();
    }, SAMPLE_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sampling;
  }

  get latest(): Growth["latest"] {
    return this.#series.flatMap(({ name, latest }) => (latest === undefined ? [] : [{ name, ...latest }]));
  }

  growth(): Growth {
    const spans = this.#series.map(({ rss }) => (rss.at(-1)?.at ?? 0) - (rss[0]?.at ?? 0));
    return {
      measuredMs: Math.min(...spans),
      latest: this.latest,
      processes: this.#series.map(({ name, live, rss, descriptors }) => ({
        name,
        live: trendOf(live, { blockMs: BLOCK_MS }),
        rss: trendOf(rss, { blockMs: BLOCK_MS }),
        descriptors: trendOf(descriptors, { blockMs: BLOCK_MS }),
        rssBytes: [rss[0]?.value ?? 0, rss.at(-1)?.value ?? 0],
        descriptorCounts: [descriptors[0]?.value ?? 0, descriptors.at(-1)?.value ?? 0],
      })),
    };
  }

  async #sample(): Promise<void> {
    await Promise.all(
      this.#series.map(async (series) => {
        const [usage, held] = await Promise.all([processUsage(series.pid), heldBytes(series.liveFile)]);
        if (usage === undefined) return;
        series.latest = { ...usage, held };
        const at = performance.now() - this.#setup.began;
        if (at < this.#setup.warmUpMs) return;
        if (held !== undefined) {
          series.live.push({ at, value: held.liveBytes });
          series.rss.push({ at, value: held.anonymousBytes });
        }
        series.descriptors.push({ at, value: usage.descriptors });
      }),
    );
  }
}
