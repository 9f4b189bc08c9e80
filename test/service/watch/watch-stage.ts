import type { backends, FreshDatabase } from "../../support/backends.ts";
import { RawChannel } from "../../support/raw-channel.ts";
import { type RunningService, type ServiceOptions, startService } from "../../support/service.ts";
import { type StartOptions, Watcher } from "../../support/watcher.ts";

export const HOUR = 3_600_000;

function timestamp(ms: number) {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}

/** Blacklists any number of jtis. Resolves with the last revision. */
export async function revoke(
  { client }: RunningService,
  jtis: readonly string[],
  expiresAt = Date.now() + HOUR,
): Promise<string> {
  let revision = "";
  for (let at = 0; at < jtis.length; at += 1000) {
    const tokens = jtis
      .slice(at, at + 1000)
      .map((value) => ({ token: { case: "jti" as const, value }, expiresAt: timestamp(expiresAt) }));
    ({ revision } = await client.blacklist({ tokens }, { timeoutMs: 20_000 }));
  }
  return revision;
}

/** The number of streams of `Watch` by the service's metric. */
export async function watchersOf({ adminUrl }: RunningService): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(/^tokenblacklist_watchers (\d+)$/m.exec(text)?.[1]);
}

/** Services with an index on one new database, and streams of `Watch` to them. */
export class WatchStage {
  readonly #database: FreshDatabase;
  readonly #running: RunningService[] = [];
  readonly #channels: RawChannel[] = [];

  private constructor(database: FreshDatabase) {
    this.#database = database;
  }

  static async on(backend: (typeof backends)[number]): Promise<WatchStage> {
    return new WatchStage(await backend.create());
  }

  async close(): Promise<void> {
    for (const channel of this.#channels) channel.close();
    await Promise.all(this.#running.map((one) => one.stop()));
    await this.#database.dispose();
  }

  /** A further service, by default once its index is loaded. */
  async start({
    loaded = true,
    ...options
  }: Omit<ServiceOptions, "url"> & { loaded?: boolean } = {}): Promise<RunningService> {
    const env = { INDEX: "on", ...options.env };
    const one = await startService({ url: this.#database.url, ...options, env });
    this.#running.push(one);
    if (loaded) await one.indexLoaded();
    return one;
  }

  connect({ address }: { readonly address: string }): RawChannel {
    const channel = new RawChannel(address);
    this.#channels.push(channel);
    return channel;
  }

  watch(service: RunningService, start: StartOptions = {}): Watcher {
    return Watcher.begin(this.connect(service), { start });
  }
}
