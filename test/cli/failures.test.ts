import { createServer, type Socket } from "node:net";
import { Metadata, status } from "@grpc/grpc-js";
import { expect } from "chai";
import { type Reason, ServiceError } from "../../src/errors.ts";
import type { Script } from "../client/scripted-service.ts";
import { freePort } from "../support/free-port.ts";
import { type CliResult, runCli } from "./run-cli.ts";
import { runAgainst } from "./with-service.ts";

describe("a command that fails", () => {
  it("reports that nothing listens, and what to do", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    expect(await runCli(["list", "--address", address])).to.deep.equal({
      exitCode: 69,
      stdout: "",
      stderr: `error: nothing listens at ${address}: start the service (token-blacklist serve), or name its address with --address\n`,
    });
  });

  it("takes the address from the environment", async () => {
    const TOKEN_BLACKLIST_ADDRESS = `127.0.0.1:${await freePort()}`;
    const { stderr } = await runCli(["list"], { io: { env: { TOKEN_BLACKLIST_ADDRESS } } });
    expect(stderr).to.include(`nothing listens at ${TOKEN_BLACKLIST_ADDRESS}:`);
  });

  it("reports that there was no response in time", async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(silent.address() as { port: number }).port}`;
    try {
      expect(await runCli(["check", "a", "--address", address, "--timeout", "50ms"])).to.deep.equal({
        exitCode: 69,
        stdout: "",
        stderr: `error: no response from ${address} within 0.05 s: try again, or allow more time with --timeout\n`,
      });
    } finally {
      // grpc-js leaves a connection attempt pending, without keeping the process alive.
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  const CODES: readonly (readonly [Reason, number, string])[] = [
    ["INVALID_REQUEST", 2, "the call failed (INVALID_REQUEST): text; see the service's log"],
    [
      "STORE_UNAVAILABLE",
      69,
      "the service at ADDRESS is unavailable (STORE_UNAVAILABLE): text; try again in 1 s",
    ],
    ["DRAINING", 69, "the service at ADDRESS is unavailable (DRAINING): text; try again in 1 s"],
    [
      "DEADLINE_EXCEEDED",
      69,
      "no response from ADDRESS within 10 s: try again, or allow more time with --timeout",
    ],
    [
      "REVISION_LOST",
      70,
      "text: the database was restored; repeat the revocations made since its backup, and omit --at-least-revision",
    ],
    ["OVERLOADED", 70, "the service at ADDRESS is overloaded (OVERLOADED): text; try again in 1 s"],
    [
      "QUOTA_EXCEEDED",
      70,
      "the caller's quota of the service at ADDRESS is exceeded: text; try again in 1 s",
    ],
    [
      "UNAUTHENTICATED",
      70,
      "the service at ADDRESS could not authenticate the caller: text; give a token with --token-file, or a certificate with --cert and --key",
    ],
    [
      "PERMISSION_DENIED",
      70,
      "the service at ADDRESS does not allow this: text; the token's scope or the certificate's roles must include the role",
    ],
    ["INTERNAL", 70, "the call failed (INTERNAL): text; see the service's log"],
  ];
  for (const [reason, exitCode, line] of CODES) {
    it(`ends with ${exitCode} on ${reason}`, async () => {
      const script: Script = {
        list: () => {
          throw new ServiceError(reason, "text");
        },
      };
      const { service, ...result } = await runAgainst(script, ["list"]);
      const expected: CliResult = { exitCode, stdout: "", stderr: `error: ${line}\n` };
      expect({ ...result, stderr: result.stderr.replace(service.address, "ADDRESS") }).to.deep.equal(
        expected,
      );
    });
  }

  it("ends with 70 if the server is not a token-blacklist service", async () => {
    const script: Script = {
      list: () => ({ code: status.UNIMPLEMENTED, details: "unknown \x1b[2J", metadata: new Metadata() }),
    };
    const { exitCode, stderr, service } = await runAgainst(script, ["list"]);
    expect({ exitCode, stderr }).to.deep.equal({
      exitCode: 70,
      stderr: `error: the server at ${service.address} does not implement this call (unknown \\x1b[2J): check --address\n`,
    });
  });

  it("ends with 70 and prints nothing if verdicts are missing", async () => {
    const { exitCode, stdout } = await runAgainst({ isBlacklisted: () => ({ verdicts: [] }) }, [
      "check",
      "a",
    ]);
    expect({ exitCode, stdout }).to.deep.equal({ exitCode: 70, stdout: "" });
  });
});
