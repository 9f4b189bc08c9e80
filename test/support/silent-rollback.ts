import type { FaultProxy } from "./fault-proxy.ts";

const HEADER_BYTES = 4;
const COM_QUERY = 3;
/** Distinguishes a commit's packet from all others. */
const COMMIT = "UPDATE blacklist_state SET revision";

/**
 * Makes the server behind `proxy` silently roll back a commit's transaction between two statements, as Galera does on a conflict with
 * another node's write: inserts a ROLLBACK into the packet, and removes its response. The rest of the
 * packet runs.
 */
export class SilentRollback {
  readonly #proxy: FaultProxy;
  #done = 0;

  constructor(proxy: FaultProxy) {
    this.#proxy = proxy;
  }

  /** The number of transactions rolled back. */
  get done(): number {
    return this.#done;
  }

  /** Applies before the first statement that begins with `before`, in the next `times` packets. */
  inflict(before: string, times: number): void {
    let answer: AnswerFilter | undefined;
    const last = this.#done + times;
    this.#proxy.onClientData = (chunk) => {
      // A new request means that the previous response is complete.
      answer = undefined;
      if (this.#done === last || chunk[HEADER_BYTES] !== COM_QUERY || !chunk.includes(COMMIT)) return true;
      const statements = statementsOf(chunk);
      const at = statements.findIndex((statement) => statement.startsWith(before));
      if (at < 0) throw new Error(`no statement of the packet begins with ${before}`);
      statements.splice(at, 0, "ROLLBACK");
      this.#done++;
      answer = new AnswerFilter(at);
      return packetOf(statements);
    };
    this.#proxy.onServerData = (chunk) => answer?.pass(chunk) ?? true;
  }
}

/** Replaces COMMIT by ROLLBACK in a packet that is a whole commit; returns other packets unchanged. */
export function withoutCommit(chunk: Buffer): Buffer {
  const isWhole = chunk.length > HEADER_BYTES && chunk.length === HEADER_BYTES + chunk.readUIntLE(0, 3);
  if (!isWhole || chunk[HEADER_BYTES] !== COM_QUERY || !chunk.includes(COMMIT)) return chunk;
  return packetOf(statementsOf(chunk).map((sql) => (sql === "COMMIT" ? "ROLLBACK" : sql)));
}

function statementsOf(packet: Buffer): string[] {
  return packet.toString("latin1", HEADER_BYTES + 1).split(";\n");
}

function packetOf(statements: readonly string[]): Buffer {
  const text = Buffer.from(statements.join(";\n"), "latin1");
  const header = Buffer.alloc(HEADER_BYTES + 1);
  header.writeUIntLE(text.length + 1, 0, 3);
  header[HEADER_BYTES] = COM_QUERY;
  return Buffer.concat([header, text]);
}

/** Removes one packet from a response, and renumbers those after it. */
class AnswerFilter {
  readonly #dropped: number;
  #seen = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(dropped: number) {
    this.#dropped = dropped;
  }

  pass(chunk: Buffer): Buffer {
    const bytes = Buffer.concat([this.#rest, chunk]);
    const passed: Buffer[] = [];
    let from = 0;
    while (from + HEADER_BYTES <= bytes.length) {
      const to = from + HEADER_BYTES + bytes.readUIntLE(from, 3);
      if (to > bytes.length) break;
      const packet = bytes.subarray(from, to);
      // The greeting of a new connection: the response is over.
      if (packet[3] === 0) this.#seen = Number.NaN;
      if (this.#seen > this.#dropped) packet[3] = (packet[3] as number) - 1;
      if (this.#seen !== this.#dropped) passed.push(packet);
      this.#seen++;
      from = to;
    }
    this.#rest = bytes.subarray(from);
    return Buffer.concat(passed);
  }
}
