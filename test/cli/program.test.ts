import { Writable } from "node:stream";
import { expect } from "chai";
import { unsignedJwt } from "../support/unsigned-jwt.ts";
import { runCli } from "./run-cli.ts";

describe("the command line", () => {
  it("prints help and version with exit code 0", async () => {
    const codes = [];
    for (const argv of [
      ["--help"],
      ["-h"],
      ["help", "list"],
      ["check", "--help"],
      ["migrate", "up", "--help"],
    ]) {
      const { exitCode, stdout, stderr } = await runCli(argv);
      codes.push({ exitCode, usage: stdout.startsWith("Usage: token-blacklist"), stderr });
    }
    expect(codes).to.deep.equal(codes.map(() => ({ exitCode: 0, usage: true, stderr: "" })));
    expect(await runCli(["--version"])).to.deep.equal({ exitCode: 0, stdout: "1.2.3\n", stderr: "" });
  });

  it("shows an example of every command in its help", async () => {
    const missing = [];
    for (const name of [
      "serve",
      "migrate",
      "health",
      "blacklist",
      "check",
      "list",
      "prune",
      "export",
      "import",
    ]) {
      const { stdout } = await runCli([name, "--help"]);
      if (
        !stdout.includes(`Examples:`) ||
        !stdout.split("Examples:")[1]?.includes(`token-blacklist ${name}`)
      ) {
        missing.push(name);
      }
    }
    expect(missing).to.deep.equal([]);
  });

  const WRONG: readonly (readonly string[])[] = [
    [],
    ["migrate"],
    ["chekc"],
    ["migrate", "down"],
    ["serve", "now"],
    ["check", "a", "--nope"],
    ["check", "-V"],
    ["check", "-Vzx3q"],
    ["check", "a", "--version"],
    ["blacklist", "-Vzx3q", "--expires-at", "1h"],
    ["migrate", "up", "-V"],
    ["check"],
    ["check", "a", "-"],
    ["check", "a", "--output", "xml"],
    ["check", "a", "--timeout", "0"],
    ["check", "a", "--timeout", "soon"],
    ["check", "a", "--max-staleness", "1s", "--at-least-revision", "r"],
    ["check", "\ufffd"],
    ["check", "x".repeat(256)],
    ["check", ""],
    ["blacklist", "a"],
    ["blacklist", "a", "--expires-at", "1900000000000"],
    ["blacklist", "a", "--expires-at", "1h", "--reason", "x".repeat(513)],
    ["list", "--limit", "0"],
    ["list", "--limit", "5", "--all"],
    ["list", "extra"],
    ["prune", "--max-count", "-1"],
    ["import"],
    ["import", "a", "b"],
    ["import", "-", "--resume"],
    ["export", "a"],
    ["export", "--resume"],
    ["list", "--address", "localhost"],
    ["list", "--address", "http://localhost:1"],
    ["health", "--admin-address", "localhost"],
    ["health", "--timeout", "0"],
    ["health", "extra"],
  ];
  for (const argv of WRONG) {
    const shown = argv.map((word) => (word.length > 20 ? `${word.slice(0, 5)}...` : word)).join(" ");
    it(`refuses "${shown}" with exit code 2 and explains why only on standard error`, async () => {
      const { exitCode, stdout, stderr } = await runCli(argv);
      expect({ exitCode, stdout, saysWhy: /^(error: .|Usage: )/.test(stderr) }).to.deep.equal({
        exitCode: 2,
        stdout: "",
        saysWhy: true,
      });
    });
  }

  it("names the variable if the address in the environment is invalid", async () => {
    expect(await runCli(["list"], { io: { env: { TOKEN_BLACKLIST_ADDRESS: "nonsense" } } })).to.deep.equal({
      exitCode: 2,
      stdout: "",
      stderr:
        "error: TOKEN_BLACKLIST_ADDRESS 'nonsense' is invalid: It must be host:port, such as 127.0.0.1:50051 or [::1]:50051.\n" +
        "Use --help for usage.\n",
    });
  });

  it("escapes quoted arguments", async () => {
    const { stderr } = await runCli(["\x1b]0;owned\x07"]);
    expect(stderr.split("\n")[0]).to.equal("error: unknown command '\\x1b]0;owned\\x07'");
  });

  it("does not repeat a raw token given in the wrong place", async () => {
    const token = unsignedJwt({ sub: "alice" });
    const attempts = [
      [token],
      ["list", token],
      ["check", `--${token}`],
      ["check", "a", "--output", token],
      ["check", "a", "--address", token],
      ["blacklist", "a", "--expires-at", token],
      ["health", "--admin-address", token],
      ["import", token],
    ];
    for (const argv of attempts) {
      const { exitCode, stdout, stderr } = await runCli(argv);
      expect([exitCode, stdout, stderr.includes(token)]).to.deep.equal([2, "", false]);
    }
    const stdin = `${JSON.stringify({ [token]: "a" })}\n`;
    const { exitCode, stderr } = await runCli(["blacklist", "-", "--expires-at", "1h"], { stdin });
    expect([exitCode, stderr.includes(token)]).to.deep.equal([2, false]);
  });

  it("runs serve and migrate with their arguments, and ends with their exit codes", async () => {
    const ran: string[] = [];
    const io = {
      serve: async () => ran.push("serve"),
      migrate: async (action: string) => ran.push(action),
    };
    const codes = [];
    for (const argv of [
      ["serve"],
      ["migrate", "up"],
      ["migrate", "status"],
      ["migrate", "check"],
      ["migrate", "unlock"],
    ]) {
      codes.push((await runCli(argv, { io })).exitCode);
    }
    expect({ ran, codes }).to.deep.equal({
      ran: ["serve", "up", "status", "check", "unlock"],
      codes: [1, 2, 3, 4, 5],
    });
  });

  it("ends with 70 and one line if standard output cannot be written, and with 0 if its reader has closed it", async () => {
    for (const argv of [["--version"], ["--help"], ["check", "--help"]]) {
      const ends = [];
      for (const code of ["ENOSPC", "EIO", "EPIPE"]) {
        const stdout = new Writable({
          write: (_, __, done) => done(Object.assign(new Error(code), { code })),
        });
        const { exitCode, stderr } = await runCli(argv, { io: { stdout } });
        ends.push([exitCode, stderr]);
      }
      expect(ends).to.deep.equal([
        [70, "error: standard output cannot be written (ENOSPC)\n"],
        [70, "error: standard output cannot be written (EIO)\n"],
        [0, ""],
      ]);
    }
  });

  it("ends with 70 and one line when serve throws", async () => {
    const serve = () => Promise.reject(new Error("no disk"));
    expect(await runCli(["serve"], { io: { serve } })).to.deep.equal({
      exitCode: 70,
      stdout: "",
      stderr: "error: no disk\n",
    });
  });

  describe("suggests the intended", () => {
    const HINTS: readonly (readonly [argv: readonly string[], hint: string])[] = [
      [["revoke", "a"], "Did you mean token-blacklist blacklist? See token-blacklist blacklist --help."],
      [["Verify", "a"], "Did you mean token-blacklist check? See token-blacklist check --help."],
      [["status"], "Did you mean token-blacklist health? See token-blacklist health --help."],
      [["CHECK", "a"], "Did you mean token-blacklist check? See token-blacklist check --help."],
      [
        ["unrevoke", "a"],
        "A revocation cannot be undone: an entry is kept until its token has expired. Issue a new token instead.",
      ],
      [
        ["serve", "--port", "8080"],
        "serve takes its settings from environment variables: LISTEN_ADDRESS=127.0.0.1:50051 token-blacklist serve",
      ],
      [
        ["serve", "--log-level=debug"],
        "serve takes its settings from environment variables: LOG_LEVEL=debug token-blacklist serve",
      ],
      [
        ["serve", "now"],
        "serve takes its settings from environment variables: LISTEN_ADDRESS=127.0.0.1:50051 token-blacklist serve",
      ],
      [
        ["health", "--address", "127.0.0.1:50051"],
        "health uses the admin address, not the gRPC address: --admin-address 127.0.0.1:9464.",
      ],
      [
        ["check", "-Vzx3q"],
        "Put a jti that begins with a hyphen after --, and options before it: token-blacklist check [options] -- JTI",
      ],
      [["list", "a"], "list takes no arguments: name a token with --jti."],
      [["export", "a"], "export takes no arguments: name a file with --output, a token with --jti."],
      [["health", "a:1"], "health takes no arguments: name the service with --admin-address."],
      [["export", "--file", "a"], "Set the file with --output."],
      [
        ["blacklist", "a", "--ttl", "1h"],
        "Set the expiry with --expires-at: a time, or a duration from now such as 1h.",
      ],
      [["check", "a", "--json"], "Set the format with --output: table, json or ndjson."],
      [["list", "--host", "a"], "Set the service's address with --address: host:port."],
      [
        ["check", "-hello"],
        "Put a jti that begins with a hyphen after --, and options before it: token-blacklist check [options] -- JTI",
      ],
      [
        ["blacklist", "--abc", "--expires-at", "1h"],
        "Put a jti that begins with a hyphen after --, and options before it: token-blacklist blacklist [options] -- JTI",
      ],
    ];
    for (const [argv, hint] of HINTS) {
      it(argv.join(" "), async () => {
        const { exitCode, stdout, stderr } = await runCli(argv);
        expect({ exitCode, stdout, last: stderr.trimEnd().split("\n").at(-1) }).to.deep.equal({
          exitCode: 2,
          stdout: "",
          last: hint,
        });
      });
    }
  });

  it("explains TLS and authentication in the help of serve", async () => {
    const { stdout } = await runCli(["serve", "--help"]);
    for (const word of ["TLS_CERT_FILE", "AUTH_ISSUER", "TLS_CLIENT_CA_FILE", "docs/security.md"]) {
      expect(stdout).to.include(word);
    }
  });
});
