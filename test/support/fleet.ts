import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { freePort } from "./free-port.ts";
import { CommandProcess, type Ended } from "./service-process.ts";
import { freshDatabase } from "./shared.ts";

export interface FleetOptions {
  readonly replicas: number;
  /** The `main.js` of the replicas and of the migration; default: this build's. */
  readonly main?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
}

/** Replicas on one database, each a process with a fixed port. */
export class Fleet {
  readonly databaseUrl: string;
  readonly addresses: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #processes: CommandProcess[] = [];
  readonly #dispose: () => Promise<void>;

  private constructor(
    options: { databaseUrl: string; addresses: readonly string[]; dispose: () => Promise<void> },
    env: Readonly<Record<string, string>>,
  ) {
    this.databaseUrl = options.databaseUrl;
    this.addresses = options.addresses;
    this.#dispose = options.dispose;
    this.#env = env;
  }

  /** Resolves when all replicas have loaded their index. */
  static async start({ replicas, main, env = {} }: FleetOptions): Promise<Fleet> {
    const { url: databaseUrl, dispose } = await freshDatabase();
    const addresses: string[] = [];
    for (let count = 0; count < replicas; count++) addresses.push(`127.0.0.1:${await freePort()}`);
    const fleet = new Fleet({ databaseUrl, addresses, dispose }, env);
    try {
      await fleet.migrate(main);
      await Promise.all(addresses.map((_, index) => fleet.#launch(index, main)));
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  /** Runs `migrate up` of that build. */
  async migrate(main?: string): Promise<void> {
    if (main === undefined) return void (await migrate("up", parseDatabaseUrl(this.databaseUrl), () => {}));
    const { code, stderr } = await this.command(["migrate", "up"], main);
    if (code !== 0) throw new Error(`migrate up ended with ${code}: ${stderr}`);
  }

  /** Runs another command of that build on the same database. */
  command(args: readonly string[], main?: string): Promise<Ended> {
    return new CommandProcess(args, { DATABASE_URL: this.databaseUrl }, { main }).ended;
  }

  /** Replaces the replicas one by one by that build. Returns how each ended, and after how many milliseconds. */
  async roll(main?: string): Promise<{ code: number | null; milliseconds: number }[]> {
    const ends = [];
    for (const index of this.addresses.keys()) {
      const replica = this.#processes[index] as CommandProcess;
      const began = performance.now();
      await replica.signal("SIGTERM");
      const { code } = await replica.ended;
      ends.push({ code, milliseconds: performance.now() - began });
      await this.#launch(index, main);
    }
    return ends;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((replica) => replica?.kill()));
    await this.#dispose();
  }

  async #launch(index: number, main: string | undefined): Promise<void> {
    const replica = new CommandProcess(
      ["serve"],
      {
        DATABASE_URL: this.databaseUrl,
        LISTEN_ADDRESS: this.addresses[index] as string,
        ADMIN_ADDRESS: "127.0.0.1:0",
        AUDIT_LOG: "off",
        LOG_LEVEL: "info",
        ...this.#env,
      },
      { main },
    );
    this.#processes[index] = replica;
    await replica.line("index loaded");
  }
}
