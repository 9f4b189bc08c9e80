import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { expect } from "chai";
import { systemClock } from "../../src/time/clock.ts";
import { freePort } from "../support/free-port.ts";
import { startService } from "../support/service.ts";
import { CommandProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { runCli } from "./run-cli.ts";

const NOT_SERVING = "is not serving: its database is unavailable, or it is stopping; see its log";

/** A server that answers with the successive `statuses`, repeating the last one. */
async function answering(statuses: readonly number[]): Promise<{ server: Server; address: string }> {
  const left = [...statuses];
  const server = createServer((request, response) => {
    response
      .writeHead(request.url === "/readyz" ? Number(left.length > 1 ? left.shift() : left[0]) : 404)
      .end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe("health", () => {
  it("reports a serving service at any address", async () => {
    const folder = await freshFolder();
    const running = await startService({
      url: `sqlite:${folder}/x.db`,
      env: { ADMIN_ADDRESS: "0.0.0.0:0" },
    });
    try {
      const { port } = new URL(running.adminUrl);
      const env = { ADMIN_ADDRESS: `0.0.0.0:${port}` };
      expect([
        await runCli(["health"], { io: { env } }),
        await runCli(["health", "--admin-address", `localhost:${port}`]),
      ]).to.deep.equal([
        { exitCode: 0, stdout: `the service at 0.0.0.0:${port} is serving\n`, stderr: "" },
        { exitCode: 0, stdout: `the service at localhost:${port} is serving\n`, stderr: "" },
      ]);
    } finally {
      await running.stop();
    }
  });

  it("reports why a service is not serving, with exit code 69", async () => {
    const away = await answering([503]);
    const other = await answering([404]);
    const unused = `127.0.0.1:${await freePort()}`;
    const failed = (stderr: string) => ({ exitCode: 69, stdout: "", stderr: `error: ${stderr}\n` });
    try {
      expect([
        await runCli(["health", "--admin-address", away.address]),
        await runCli(["health", "--admin-address", other.address]),
        await runCli(["health", "--admin-address", unused]),
      ]).to.deep.equal([
        failed(`the service at ${away.address} ${NOT_SERVING}`),
        failed(`${other.address} is not the ADMIN_ADDRESS of a token-blacklist service (HTTP status 404)`),
        failed(`nothing listens at ${unused}`),
      ]);
    } finally {
      away.server.close();
      other.server.close();
    }
  });

  it("times out on a silent service", async () => {
    const silent = createTcpServer();
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = `127.0.0.1:${(silent.address() as AddressInfo).port}`;
    try {
      expect(await runCli(["health", "--admin-address", address, "--timeout", "50ms"])).to.deep.equal({
        exitCode: 69,
        stdout: "",
        stderr: `error: no response from ${address} within 0.05 s\n`,
      });
    } finally {
      silent.close();
    }
  });

  for (const timeout of ["30d", "60d", "999999999d"]) {
    it(`waits for a response as long as configured (${timeout})`, async () => {
      const { server, address } = await answering([200]);
      try {
        const argv = ["health", "--admin-address", address, "--timeout", timeout, "--wait", timeout];
        expect(await runCli(argv)).to.include({ exitCode: 0, stderr: "" });
      } finally {
        server.close();
      }
    });
  }

  it("retries with --wait until the service is serving", async () => {
    const { server, address } = await answering([503, 503, 200]);
    try {
      const argv = ["health", "--admin-address", address, "--wait", "20s"];
      expect(await runCli(argv, { io: { clock: systemClock } })).to.deep.equal({
        exitCode: 0,
        stdout: `the service at ${address} is serving\n`,
        stderr: "",
      });
    } finally {
      server.close();
    }
  });

  it("keeps its process alive while it waits, and no longer than configured", async () => {
    const { server, address } = await answering([503]);
    try {
      const command = new CommandProcess(["health", "--wait", "250ms"], { ADMIN_ADDRESS: address });
      expect(await command.ended).to.deep.equal({
        code: 69,
        signal: null,
        stdout: "",
        stderr: `error: the service at ${address} ${NOT_SERVING}\n`,
      });
    } finally {
      server.close();
    }
  });

  it("names the variable if the address in the environment is invalid", async () => {
    expect(await runCli(["health"], { io: { env: { ADMIN_ADDRESS: "nonsense" } } })).to.deep.equal({
      exitCode: 2,
      stdout: "",
      stderr:
        "error: ADMIN_ADDRESS 'nonsense' is invalid: It must be host:port, such as 127.0.0.1:50051 or [::1]:50051.\n" +
        "Use --help for usage.\n",
    });
  });
});
