import { once } from "node:events";
import { connect } from "node:net";
import { expect } from "chai";
import { describe, it } from "mocha";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ClientError } from "../../src/client/client-error.ts";
import { createRpcClient, type RpcClient } from "../../src/client/rpc-client.ts";
import { Asker } from "../support/asker.ts";
import { backends } from "../support/backends.ts";
import { checkHealth, watchHealth } from "../support/health-client.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { startService } from "../support/service.ts";
import { type Ended, serveProcess } from "../support/service-process.ts";
import { ends, type StreamEnd } from "../support/stream-end.ts";

const WORKERS = 20;
const STREAMS = 10;
/** Questions of a stream in flight at once. */
const LANES = 8;

for (const backend of backends) {
  describe(`a shutdown (${backend.name})`, () => {
    it("answers accepted calls, refuses others as UNAVAILABLE, and loses no acknowledged write", async () => {
      const database = await backend.create();
      const running = await startService({ url: database.url });
      const channel = new RawChannel(running.address);
      try {
        const watch = watchHealth(channel);
        await watch.reaches("SERVING");
        const load = startLoad(running.address);
        const asking = startAsking(running.address, load.acknowledged);
        await load.reaches(200);
        const began = performance.now();
        const closed = running.service.close();
        await watch.reaches("NOT_SERVING");
        const [, , watchEnd] = await Promise.all([closed, load.ended, watch.ended]);
        expect(performance.now() - began).to.be.below(1000);
        await expectDrained(asking);
        expect(watchEnd).to.equal("OK");
        expect(await refusedAt(running.address)).to.equal("ECONNREFUSED");
        expectOnlyUnavailable(load.errors);
        await expectStored(database.url, load.acknowledged);
      } finally {
        channel.close();
        await running.stop();
        await database.dispose();
      }
    });

    it("continues to answer until clients have seen the health status", async () => {
      const database = await backend.create();
      // A tenth of it is the notice.
      const running = await startService({ url: database.url, env: { SHUTDOWN_GRACE: "5s" } });
      const channel = new RawChannel(running.address);
      try {
        const watch = watchHealth(channel);
        await watch.reaches("SERVING");
        const closed = running.service.close();
        await watch.reaches("NOT_SERVING");
        expect((await running.client.isBlacklisted({ jtis: ["a"] })).verdicts).to.have.length(1);
        expect(await checkHealth(channel)).to.equal("NOT_SERVING");
        expect((await fetch(`${running.adminUrl}/readyz`)).status).to.equal(503);
        expect((await fetch(`${running.adminUrl}/livez`)).status).to.equal(200);
        await closed;
      } finally {
        channel.close();
        await running.stop();
        await database.dispose();
      }
    });

    const hangers: Record<string, (address: string) => Promise<() => void>> = {
      "a connection without any bytes": async (address) => {
        const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
        socket.on("error", () => {});
        await once(socket, "connect");
        return () => socket.destroy();
      },
      "a request that never ends": async (address) => {
        const channel = new RawChannel(address);
        const path = methodPath("IsBlacklisted");
        const call = channel.grpc.makeClientStreamRequest<Buffer, Buffer>(path, asIs, asIs, () => {});
        call.on("error", () => {});
        // On the same connection, so it has arrived when this is answered.
        await checkHealth(channel);
        return () => channel.close();
      },
    };
    for (const [name, hang] of Object.entries(hangers)) {
      it(`does not wait for ${name}`, async () => {
        const database = await backend.create();
        const running = await startService({ url: database.url });
        const letGo = await hang(running.address);
        try {
          const began = performance.now();
          await running.service.close();
          expect(performance.now() - began).to.be.below(1100);
        } finally {
          letGo();
          await running.stop();
          await database.dispose();
        }
      });
    }

    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      it(`exits with 0 within the grace after ${signal}, under load, with streams of StreamChecks and a Watch open`, async function () {
        this.timeout(60_000);
        const database = await backend.create();
        // The schema, once.
        await (await startService({ url: database.url })).stop();
        const serving = await serveProcess({ DATABASE_URL: database.url, SHUTDOWN_GRACE: "5s" });
        const address = String((await serving.process.line("listening")).address);
        const channel = new RawChannel(address);
        try {
          const watch = watchHealth(channel);
          await watch.reaches("SERVING");
          const load = startLoad(address);
          const asking = startAsking(address, load.acknowledged);
          await load.reaches(200);
          const began = performance.now();
          await serving.process.signal(signal);
          await watch.reaches("NOT_SERVING");
          const ended = await serving.process.ended;
          expect(performance.now() - began).to.be.below(5000);
          expect(ended).to.include({ code: 0, stderr: "" });
          expectJsonLines(ended);
          expect(await watch.ended).to.equal("OK");
          await load.ended;
          await expectDrained(asking);
          expectOnlyUnavailable(load.errors);
          await expectStored(database.url, load.acknowledged);
        } finally {
          await serving.kill();
          channel.close();
          await database.dispose();
        }
      });
    }
  });
}

interface Load {
  readonly acknowledged: readonly string[];
  readonly errors: readonly unknown[];
  /** Resolves once this many revocations have been acknowledged. */
  reaches(count: number): Promise<void>;
  /** Resolves when each worker has had its first error. */
  readonly ended: Promise<unknown>;
}

/** Revokes and checks without a pause, each worker on its own connection, until it is refused. */
function startLoad(address: string): Load {
  const acknowledged: string[] = [];
  const errors: unknown[] = [];
  let waiting: { count: number; resolve: () => void } | undefined;

  async function work(worker: number, client: RpcClient): Promise<void> {
    try {
      for (let step = 0; ; step++) {
        const jti = `w${worker}-${step}`;
        await client.blacklist({ tokens: [{ token: { case: "jti", value: jti }, expiresAt: YEAR_2100 }] });
        acknowledged.push(jti);
        if (waiting !== undefined && acknowledged.length >= waiting.count) waiting.resolve();
        await client.isBlacklisted({ jtis: [jti, "never"] });
      }
    } catch (error) {
      errors.push(error);
    } finally {
      client.close();
    }
  }

  const workers = Array.from({ length: WORKERS }, (_, worker) => work(worker, createRpcClient({ address })));
  return {
    acknowledged,
    errors,
    reaches: (count) =>
      new Promise((resolve) => {
        waiting = { count, resolve };
      }),
    ended: Promise.all(workers),
  };
}

interface Asking {
  /** Wrong answers for acknowledged revocations, and refused questions. */
  readonly wrong: readonly string[];
  answered: number;
  /** How each stream ended. */
  readonly ended: Promise<readonly StreamEnd[]>;
}

/** Sends questions over streams without a pause, each on its own connection, until it ends. */
function startAsking(address: string, acknowledged: readonly string[]): Asking {
  const wrong: string[] = [];
  async function lane(asker: Asker): Promise<void> {
    for (;;) {
      const known = acknowledged.slice(-1);
      const verdicts = await asker.verdicts("never", ...known);
      if (verdicts === "unanswered") return;
      asking.answered++;
      const right = [Verdict.NOT_BLACKLISTED, ...known.map(() => Verdict.BLACKLISTED)];
      if (String(verdicts) !== String(right)) wrong.push(`${known}: ${verdicts}`);
    }
  }
  const streams = Array.from({ length: STREAMS }, async () => {
    const channel = new RawChannel(address);
    const asker = new Asker(channel);
    await Promise.all(Array.from({ length: LANES }, () => lane(asker)));
    channel.close();
    return asker.ended;
  });
  const asking = { wrong, answered: 0, ended: Promise.all(streams) };
  return asking;
}

async function expectDrained(asking: Asking): Promise<void> {
  expect([await asking.ended, asking.wrong]).to.deep.equal([
    Array.from({ length: STREAMS }, () => ends("UNAVAILABLE", "DRAINING")),
    [],
  ]);
  expect(asking.answered).to.be.above(STREAMS * LANES);
}

function expectOnlyUnavailable(errors: readonly unknown[]): void {
  expect(errors).to.have.length(WORKERS);
  for (const error of errors) {
    if (!(error instanceof ClientError)) throw error;
    const { code, reason, message } = error;
    expect(code, message).to.equal("UNAVAILABLE");
    // Without a reason: the connection was closed before the call could be sent.
    expect(reason, message).to.be.oneOf(["DRAINING", undefined]);
  }
}

/** From the next service on the same database. */
async function expectStored(url: string, jtis: readonly string[]): Promise<void> {
  const next = await startService({ url });
  try {
    expect(jtis.length).to.be.at.least(200);
    for (let start = 0; start < jtis.length; start += 1000) {
      const slice = jtis.slice(start, start + 1000);
      const { verdicts } = await next.client.isBlacklisted({ jtis: slice });
      expect(verdicts).to.deep.equal(slice.map(() => Verdict.BLACKLISTED));
    }
  } finally {
    await next.stop();
  }
}

function refusedAt(address: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(address.split(":")[1]), "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve("connected");
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(String(error.code)));
  });
}

function expectJsonLines({ stdout }: Ended): void {
  for (const line of stdout.trimEnd().split("\n")) {
    expect(JSON.parse(line)).to.include.keys("level", "time", "msg");
  }
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
