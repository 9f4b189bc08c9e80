import { request } from "node:http";
import { create, toBinary } from "@bufbuild/protobuf";
import { IsBlacklistedRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { processUsage } from "../soak/process-usage.ts";
import { methodPath, type RawChannel } from "../support/raw-channel.ts";
import { addressOf } from "../support/raw-http2.ts";
import type { Stage } from "./stage.ts";

/** Observations of a period. Times are in milliseconds, and infinite for a missing or wrong response. */
export interface Observations {
  /** Of `/livez`, and of every fifth `/readyz`, each on a new connection. */
  readonly probes: readonly number[];
  /** Of a caller's fully fresh checks on one connection. */
  readonly checks: readonly number[];
  /** Of the first check of new callers' connections. */
  readonly newcomers: readonly number[];
  /** The maximum memory of the process. */
  readonly rssBytes: number;
}

const PROBE_EVERY_MS = 25;
const CHECK_EVERY_MS = 20;
const CONNECT_EVERY_MS = 500;
const SAMPLE_EVERY_MS = 50;
/** A response later than this counts as missing. */
const PATIENCE_MS = 10_000;

const CHECK = toBinary(IsBlacklistedRequestSchema, create(IsBlacklistedRequestSchema, { jtis: ["a", "b"] }));

/** Sends requests at a fixed rate, whether or not earlier responses have arrived, and samples the service's memory. */
export class Observer {
  readonly #stage: Stage;
  readonly #caller: RawChannel;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #asked = new Set<Promise<void>>();
  #probes: number[] = [];
  #checks: number[] = [];
  #newcomers: number[] = [];
  #rssBytes = 0;
  /** The last sample; NaN once the process has ended. */
  lastRssBytes = Number.NaN;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#caller = stage.connect();
  }

  /** Sends enough requests to warm the process up. */
  async warm(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      const checks = Array.from({ length: 50 }, () => this.#check(this.#caller));
      await Promise.all([...checks, this.#probe("/livez"), this.#probe("/readyz")]);
    }
  }

  /** Whether both responses are correct, regardless of their time. */
  async ask(): Promise<{ probes: string; checks: string }> {
    const [probe, ready, check] = await Promise.all([
      this.#probe("/livez"),
      this.#probe("/readyz"),
      this.#check(this.#caller),
    ]);
    const said = (...times: number[]) => (times.every(Number.isFinite) ? "answered" : "not answered");
    return { probes: said(probe, ready), checks: said(check) };
  }

  start(): void {
    let probes = 0;
    const into = (times: (observer: this) => number[], ask: () => Promise<number>) => () => {
      // Its period is determined when it is sent.
      const list = times(this);
      const asked = ask().then((ms) => {
        list.push(ms);
        this.#asked.delete(asked);
      });
      this.#asked.add(asked);
    };
    const every = (ms: number, act: () => unknown) => this.#timers.push(setInterval(act, ms));
    every(
      PROBE_EVERY_MS,
      into(
        () => this.#probes,
        () => this.#probe(probes++ % 5 === 4 ? "/readyz" : "/livez"),
      ),
    );
    every(
      CHECK_EVERY_MS,
      into(
        () => this.#checks,
        () => this.#check(this.#caller),
      ),
    );
    every(
      CONNECT_EVERY_MS,
      into(
        () => this.#newcomers,
        () => this.#connect(),
      ),
    );
    every(SAMPLE_EVERY_MS, () => this.#sample());
  }

  /** The observations since the last call. With `complete`, waits until everything has a response or has timed out. */
  async take({ complete }: { complete: boolean }): Promise<Observations> {
    if (complete) await Promise.all(this.#asked);
    await this.#sample();
    const [probes, checks, newcomers] = [this.#probes, this.#checks, this.#newcomers];
    const taken = { probes, checks, newcomers, rssBytes: this.#rssBytes };
    [this.#probes, this.#checks, this.#newcomers] = [[], [], []];
    this.#rssBytes = 0;
    return taken;
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#caller.close();
    await Promise.all(this.#asked);
  }

  async #sample(): Promise<void> {
    const usage = await processUsage(this.#stage.process.pid);
    this.lastRssBytes = usage?.rssBytes ?? Number.NaN;
    if (usage !== undefined) this.#rssBytes = Math.max(this.#rssBytes, usage.rssBytes);
  }

  #probe(path: string): Promise<number> {
    const began = performance.now();
    const { host, port } = addressOf(this.#stage.target.adminAddress);
    return new Promise((resolve) => {
      const asked = request({ host, port, path, agent: false, timeout: PATIENCE_MS }, (response) => {
        response.resume().once("end", () => {
          resolve(response.statusCode === 200 ? performance.now() - began : Number.POSITIVE_INFINITY);
        });
      });
      asked.once("timeout", () => asked.destroy());
      asked.once("close", () => resolve(Number.POSITIVE_INFINITY));
      asked.once("error", () => resolve(Number.POSITIVE_INFINITY));
      asked.end();
    });
  }

  async #check(channel: RawChannel): Promise<number> {
    const began = performance.now();
    const { code } = await channel.call(methodPath("IsBlacklisted"), CHECK, {
      authorization: [`Bearer ${this.#stage.target.token}`],
      timeoutMs: PATIENCE_MS,
    });
    return code === "OK" ? performance.now() - began : Number.POSITIVE_INFINITY;
  }

  async #connect(): Promise<number> {
    const channel = this.#stage.connect();
    try {
      return await this.#check(channel);
    } finally {
      channel.close();
    }
  }
}
