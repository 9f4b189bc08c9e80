import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import express from "express";
import Fastify from "fastify";
import "reflect-metadata";
import { createServer as createHttp2 } from "node:http2";
import type { AddressInfo } from "node:net";
import { Controller, Get, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { expect } from "chai";
import type { ClientError } from "../../src/client/client-error.ts";
import { clientCredentials } from "../../src/client/connect.ts";
import { connectionFailure } from "../../src/client/grpc-error.ts";
import { createRpcClient } from "../../src/client/rpc-client.ts";
import { ServiceError } from "../../src/errors.ts";
import { createAuthority } from "../support/certificates.ts";
import { freePort } from "../support/free-port.ts";
import { freshFolder } from "../support/shared.ts";
import { failure } from "./failure.ts";
import { Stage } from "./opened.ts";
import { startScripted } from "./scripted-service.ts";

interface Peer {
  readonly address: string;
  readonly tls?: true;
}

describe("a connection that fails", () => {
  const stage = new Stage();
  const closers: (() => unknown)[] = [];

  afterEach(async () => {
    stage.close();
    for (const close of closers.splice(0)) await close();
  });

  /** A listener that calls `act` with each connection. */
  async function listener(act: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      act(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** The responses of an HTTP/2 server that is not the service. */
  async function proxy(headers: Record<string, string | number>): Promise<string> {
    const server = createHttp2();
    server.on("stream", (stream) => stream.respond(headers, { endStream: true }));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => void server.close());
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async function service(): Promise<string> {
    const running = await startScripted({});
    closers.push(() => running.stop());
    return running.address;
  }

  const KINDS: Readonly<Record<string, () => Promise<Peer>>> = {
    refused: async () => ({ address: `127.0.0.1:${await freePort()}` }),
    "unknown-host": async () => ({ address: "blacklist.invalid:50051" }),
    "hung-up": async () => ({ address: await listener((socket) => socket.destroy()) }),
    "not-tls": async () => ({ address: await service(), tls: true }),
  };
  for (const [kind, peer] of Object.entries(KINDS)) {
    for (const mode of ["remote", "local", "the command's"] as const) {
      it(`is described in the client's own words, by kind, and without the address: ${kind}, ${mode} client`, async () => {
        const { address, tls } = await peer();
        const credentials = clientCredentials({ tls });
        let errors: ClientError[];
        if (mode === "the command's") {
          const client = createRpcClient({ address, credentials });
          errors = [await failure(client.list({}, { timeoutMs: 10_000 }))];
          client.close();
        } else {
          const { client } = stage.client(address, { mode, credentials });
          const limits = { timeoutMs: 4000 };
          errors = [
            await failure(client.isBlacklisted("a", limits)),
            await failure(client.blacklist([{ jti: "a", expiresAt: 4e12 }], limits)),
          ];
        }
        for (const error of errors) tellsNothing(error, address);
        expect(
          errors.map(({ code, connection, statusCode }) => [code, connection, statusCode]),
        ).to.deep.equal(errors.map(() => ["UNAVAILABLE", kind, 503]));
      });
    }
  }

  it("is described in the client's own words if the certificate is not accepted", async () => {
    const [ours, theirs] = [await createAuthority(), await createAuthority()];
    const { certificate, key } = await theirs.issue([{ type: "ip", value: "127.0.0.1" }]);
    const { createServer: createTls } = await import("node:tls");
    const server = createTls({ cert: certificate, key, ALPNProtocols: ["h2"] });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => void server.close());
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const credentials = clientCredentials({ tls: { ca: Buffer.from(ours.certificate) } });
    const { client } = stage.client(address, { credentials });
    const error = await failure(client.isBlacklisted("a", { timeoutMs: 1000 }));
    tellsNothing(error, address);
    expect({ code: error.code, connection: error.connection }).to.deep.equal({
      code: "UNAVAILABLE",
      connection: "certificate",
    });
  });

  it("contains neither a socket's path nor any of several addresses", async () => {
    const path = join(await freshFolder(), "blacklist.sock");
    const sock = stage.client(`unix:${path}`).client;
    const error = await failure(sock.isBlacklisted("a", { timeoutMs: 500 }));
    tellsNothing(error, path);
    expect({ connection: error.connection, address: error.address }).to.deep.equal({
      connection: "refused",
      address: `unix:${path}`,
    });
    const addresses = [`127.0.0.1:${await freePort()}`, `127.0.0.2:${await freePort()}`];
    const several = stage.client(addresses).client;
    const other = await failure(several.isBlacklisted("a", { timeoutMs: 500 }));
    for (const address of addresses) tellsNothing(other, address);
    expect({ connection: other.connection, address: other.address }).to.deep.equal({
      connection: "refused",
      address: addresses.join(", "),
    });
  });

  it("does not contain the address if nothing listens or a proxy answers", async () => {
    const peers = [
      await listener(() => {}),
      await proxy({ ":status": 502 }),
      await proxy({
        ...{ ":status": 200, "content-type": "application/grpc" },
        ...{ "grpc-status": 14, "grpc-message": "upstream 10.1.2.3:50051 refused" },
      }),
      await proxy({
        ...{ ":status": 200, "content-type": "application/grpc" },
        ...{ "grpc-status": 7, "grpc-message": "denied by 10.1.2.3:50051" },
      }),
    ];
    for (const address of peers) {
      const { client } = stage.client(address);
      const limits = { timeoutMs: 300 };
      for (const error of [
        await failure(client.isBlacklisted("a", limits)),
        await failure(client.areBlacklisted(["a", "b"], limits)),
        await failure(client.blacklist([{ jti: "a", expiresAt: 4e12 }], limits)),
        await failure(client.prune(limits)),
        await failure(client.list(limits)[Symbol.asyncIterator]().next()),
      ]) {
        tellsNothing(error, address);
        tellsNothing(error, "10.1.2.3");
        expect(error.address).to.equal(address);
      }
    }
  });

  it("becomes 503 in frameworks, and a malformed jti 401, without the address", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const { client } = stage.client(address, { timeoutMs: 300 });
    const isAllowed = (jti: string | undefined) => client.isBlacklisted(jti as string);
    const jtiOf = (url: string) => (url.includes("none") ? undefined : "a");

    const app = express();
    app.get("/:what", async (request, response) => {
      response.json(await isAllowed(jtiOf(request.url)));
    });
    // Shows the stack to its callers, and logs nothing.
    app.set("env", "test");
    const listening = app.listen(0, "127.0.0.1");
    closers.push(() => void listening.close());
    await new Promise((resolve) => listening.once("listening", resolve));

    const fastify = Fastify();
    fastify.get("/:what", async ({ url }) => isAllowed(jtiOf(url)));
    closers.push(() => fastify.close());

    class Gate {
      ask() {
        return isAllowed("a");
      }
      none() {
        return isAllowed(undefined);
      }
    }
    const route = (name: "ask" | "none") =>
      Get(name)(Gate.prototype, name, Object.getOwnPropertyDescriptor(Gate.prototype, name) as never);
    route("ask");
    route("none");
    Controller()(Gate);
    class GateModule {}
    Module({ controllers: [Gate] })(GateModule);
    const nest = await NestFactory.create(GateModule, { logger: false });
    await nest.listen(0, "127.0.0.1");
    closers.push(() => nest.close());

    const urls = [
      `http://127.0.0.1:${(listening.address() as AddressInfo).port}`,
      await fastify.listen({ port: 0, host: "127.0.0.1" }),
      await nest.getUrl(),
    ];
    for (const url of urls) {
      const answers = [await fetch(`${url}/ask`), await fetch(`${url}/none`)];
      expect([url, answers.map(({ status }) => status)]).to.deep.equal([url, [503, 401]]);
      for (const answer of answers) {
        const text = await answer.text();
        expect(text).not.to.include(address);
        expect(text).not.to.include("ECONNREFUSED");
      }
    }
  });

  it("gives every error an HTTP status: 401 for the token, 500 for the program, 503 for an unavailable verdict", async () => {
    const { client } = await stage.scripted({
      isBlacklisted: () => {
        throw new ServiceError("REVISION_LOST", "no");
      },
    });
    const odd = (value: unknown) => value as never;
    const status = async (call: Promise<unknown>) => {
      const { statusCode, status, expose } = await failure(call);
      return [statusCode, status, expose];
    };
    expect([
      await status(client.isBlacklisted(odd(undefined))),
      await status(client.isBlacklisted("eyJhbGciOiJub25lIn0.e30.")),
      await status(client.areBlacklisted(["a", ""])),
      await status(client.blacklist([{ jti: "", expiresAt: 4e12 }])),
      await status(client.isBlacklisted("a", { maxStalenessMs: -1 })),
      await status(client.blacklist([{ jti: "", expiresAt: 4 }])),
      await status(client.isBlacklisted("a", { signal: AbortSignal.abort() })),
      await status(client.isBlacklisted("a")),
    ]).to.deep.equal([
      ...Array(4).fill([401, 401, true]),
      ...Array(2).fill([500, 500, false]),
      ...Array(2).fill([503, 503, false]),
    ]);
  });

  it("distinguishes a connection that broke from one that was never established", () => {
    const NONE = "No connection established. Last error:";
    const texts: readonly (readonly [Parameters<typeof connectionFailure>[0], string])[] = [
      ["UNAVAILABLE", `${NONE} connect ECONNREFUSED 127.0.0.1:1. Resolution note: `],
      ["UNAVAILABLE", `round_robin: ${NONE} connect EHOSTUNREACH 10.0.0.1:1`],
      ["UNAVAILABLE", `${NONE} read ECONNRESET. Resolution note: `],
      ["UNAVAILABLE", "read ECONNRESET"],
      ["UNAVAILABLE", "Connection dropped"],
      ["INTERNAL", "Received RST_STREAM with code 2 (Internal server error)"],
      ["INTERNAL", "another failure"],
      ["DEADLINE_EXCEEDED", "Deadline exceeded after 0.1s,name resolution: 0.01s"],
      ["UNAVAILABLE", "busy"],
    ];
    expect(texts.map(([code, text]) => connectionFailure(code, text))).to.deep.equal([
      "refused",
      "unreachable",
      "hung-up",
      "lost",
      "lost",
      "lost",
      undefined,
      undefined,
      undefined,
    ]);
  });
});

/** No property of `error` that a framework may show holds `address`, its host or grpc-js's text; its field and its cause do. */
function tellsNothing(error: ClientError, address: string): void {
  const [host = address] = address.split(":");
  const shown = [error.message, String(error), JSON.stringify(error), JSON.stringify({ ...error })].join(
    "\n",
  );
  for (const secret of [address, host, "ECONN", "ENOENT", "ENOTFOUND", "Resolution note", "remote_addr"]) {
    expect(shown).not.to.include(secret);
  }
  expect(error.stack?.split("\n    at ")[0]).not.to.include(host);
}
