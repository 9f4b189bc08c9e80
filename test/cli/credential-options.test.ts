import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { type SecuredService, startSecured } from "./secured-service.ts";

const MAIN = ["--import", "tsx", join(fileURLToPath(new URL("../..", import.meta.url)), "src/main.ts")];
const HINT = "Use --help for usage.\n";

/** `count` new jtis, one per line. */
function lines(count: number): string {
  return Array.from({ length: count }, () => `${crypto.randomUUID()}\n`).join("");
}

describe("an operator's credentials", () => {
  let service: SecuredService;
  let file: SecuredService["file"];
  let alice: string;
  let bob: string;

  before(async () => {
    service = await startSecured();
    file = service.file;
    alice = await service.token("alice");
    bob = await service.token("bob");
    await service.write("alice.token", `\n ${alice}\r\n`);
    await service.write("bob.token", bob);
    await service.write("no.token", `Bearer ${bob}`);
    await service.write("empty.token", "\n");
  });

  after(() => service.stop());

  const plain = () => ["--address", service.plain];
  const encrypted = () => ["--address", service.encrypted];
  const trusting = () => [...encrypted(), "--cacert", file("ca.pem")];
  const own = (name: string) => ["--cert", file(`${name}.pem`), "--key", file(`${name}.key`)];

  async function wrong(options: readonly string[], env: Record<string, string> = {}) {
    const { exitCode, stdout, stderr } = await service.run(["list", ...options], { io: { env } });
    expect(stdout).to.equal("");
    return { exitCode, stderr };
  }

  const usage = (message: string) => ({ exitCode: 2, stderr: `error: ${message}\n${HINT}` });

  it("accept a token from every source", async () => {
    expect([
      await service.caller([...plain(), "--token", alice]),
      await service.caller([...plain(), "--token-file", file("alice.token")]),
      await service.caller(plain(), { TOKEN_BLACKLIST_TOKEN: alice }),
      await service.caller(plain(), { TOKEN_BLACKLIST_TOKEN_FILE: file("alice.token") }),
      await service.caller([...trusting(), "--token", alice]),
    ]).to.deep.equal(["alice", "alice", "alice", "alice", "alice"]);
  });

  it("accept a certificate from options and from the environment", async () => {
    const env = {
      TOKEN_BLACKLIST_CACERT: file("ca.pem"),
      TOKEN_BLACKLIST_CERT: file("operator.pem"),
      TOKEN_BLACKLIST_KEY: file("operator.key"),
    };
    expect([
      await service.caller([...trusting(), ...own("operator")]),
      await service.caller(encrypted(), env),
    ]).to.deep.equal(["DNS:operator.test", "DNS:operator.test"]);
  });

  it("prefer options to the environment, and either token option to both variables", async () => {
    const ofBob = { TOKEN_BLACKLIST_TOKEN: bob };
    const ofBobsFile = { TOKEN_BLACKLIST_TOKEN_FILE: file("bob.token") };
    const certificates = {
      TOKEN_BLACKLIST_CACERT: file("other-ca.pem"),
      TOKEN_BLACKLIST_CERT: file("stranger.pem"),
      TOKEN_BLACKLIST_KEY: file("stranger.key"),
      TOKEN_BLACKLIST_TLS: "no",
    };
    expect([
      await service.caller([...plain(), "--token", alice], ofBob),
      await service.caller([...plain(), "--token", alice], ofBobsFile),
      await service.caller([...plain(), "--token-file", file("alice.token")], ofBob),
      await service.caller([...plain(), "--token-file", file("alice.token")], ofBobsFile),
      await service.caller([...trusting(), ...own("operator")], certificates),
    ]).to.deep.equal(["alice", "alice", "alice", "alice", "DNS:operator.test"]);
  });

  it("are refused, like the address, with white space, quotes or control characters around a value, naming its source", async () => {
    const VARIABLES = {
      ADDRESS: service.plain,
      TOKEN_FILE: file("alice.token"),
      CACERT: file("ca.pem"),
      TLS: "yes",
    };
    const OPTIONS = {
      "--address": service.plain,
      "--token-file": file("alice.token"),
      "--cacert": file("ca.pem"),
    };
    const accidents = (value: string) => [
      `${value}\n`,
      `${value}\r\n`,
      `${value} `,
      ` ${value}`,
      `${value}\t`,
      `"${value}"`,
      `'${value}'`,
      `\ufeff${value}`,
      `${value}\u00a0`,
    ];
    for (const [name, value] of Object.entries(VARIABLES)) {
      for (const text of accidents(value)) {
        const { exitCode, stderr } = await wrong([], { [`TOKEN_BLACKLIST_${name}`]: text });
        expect([exitCode, stderr.includes(`TOKEN_BLACKLIST_${name}`)], JSON.stringify(text)).to.deep.equal([
          2,
          true,
        ]);
        expect(stderr, JSON.stringify(text)).to.match(/line break|space|quotation mark|invisible/);
      }
    }
    for (const [name, value] of Object.entries(OPTIONS)) {
      for (const text of accidents(value)) {
        const { exitCode, stderr } = await wrong([name, text]);
        expect([exitCode, stderr.includes(name)], JSON.stringify(text)).to.deep.equal([2, true]);
      }
    }
  });

  it("in a misspelt variable cause a warning with its name and without its value", async () => {
    const { stderr } = await service.run(["list", ...plain(), "--token", alice], {
      io: {
        env: { TOKEN_BLACKLIST_TOKEN_FIEL: "c4n4ry", TOKEN_BLACKLIST_SERVICE_HOST: "10.0.0.1", HOME: "/" },
      },
    });
    expect(stderr).to.include(
      "warning: the variable TOKEN_BLACKLIST_TOKEN_FIEL is not a setting: did you mean TOKEN_BLACKLIST_TOKEN_FILE?\n",
    );
    expect(stderr.match(/warning/g)).to.have.length(1);
    expect(stderr).not.to.include("c4n4ry");
  });

  it("ignore an empty variable", async () => {
    const env = Object.fromEntries(
      ["TOKEN", "TOKEN_FILE", "CACERT", "CERT", "KEY", "TLS"].map((name) => [`TOKEN_BLACKLIST_${name}`, ""]),
    );
    expect(await service.caller([...plain(), "--token", alice], env)).to.equal("alice");
    expect((await wrong(plain(), env)).stderr).to.include(
      "could not authenticate the caller: the call needs a bearer",
    );
  });

  it("are explained if they are insufficient", async () => {
    const lister = await service.token("lister", "list");
    const prune = await service.run(["prune", ...plain(), "--token", lister]);
    expect([await wrong(trusting()), { exitCode: prune.exitCode, stderr: prune.stderr }]).to.deep.equal([
      {
        exitCode: 70,
        stderr:
          `error: the service at ${service.encrypted} could not authenticate the caller: the call needs a bearer token in the authorization ` +
          "metadata or a client certificate; give a token with --token-file, or a certificate with --cert and --key\n",
      },
      {
        exitCode: 70,
        stderr:
          `error: the service at ${service.plain} does not allow this: the caller does not have the role prune; ` +
          "the token's scope or the certificate's roles must include the role\n",
      },
    ]);
  });

  it("are sent without TLS only to this machine", async () => {
    const refused = usage("a token is not sent without TLS, except to this machine");
    expect([
      await wrong(["--address", "192.0.2.1:50051", "--token", alice]),
      await wrong(["--address", "192.0.2.1:50051"], { TOKEN_BLACKLIST_TOKEN: alice }),
      await wrong([], { TOKEN_BLACKLIST_ADDRESS: "service.test:50051", TOKEN_BLACKLIST_TOKEN: alice }),
    ]).to.deep.equal([refused, refused, refused]);
  });

  const bearerAlone = "must be a bearer token alone: no spaces, no quotes, no word before it";

  it("are refused if unusable, naming only the option or variable", async () => {
    const certificate = ["--cert", file("operator.pem")];
    expect([
      await wrong(["--token", `Bearer ${alice}`]),
      await wrong(["--token", ""]),
      await wrong([], { TOKEN_BLACKLIST_TOKEN: `${alice}\n` }),
      await wrong(["--token", alice, "--token-file", file("alice.token")]),
      await wrong([], { TOKEN_BLACKLIST_TOKEN: alice, TOKEN_BLACKLIST_TOKEN_FILE: file("alice.token") }),
      await wrong(["--token-file", file("no.token")]),
      await wrong([], { TOKEN_BLACKLIST_TOKEN_FILE: file("empty.token") }),
      await wrong(["--token-file", alice.slice(0, 200)]),
      await wrong([], { TOKEN_BLACKLIST_TOKEN_FILE: file("absent") }),
      await wrong(["--cacert", file("absent")]),
      await wrong([...certificate, "--key", file(".")]),
      await wrong([], { TOKEN_BLACKLIST_CERT: file("absent"), TOKEN_BLACKLIST_KEY: file("operator.key") }),
      await wrong(certificate),
      await wrong([], { TOKEN_BLACKLIST_KEY: file("operator.key") }),
      await wrong([...certificate, "--key", file("stranger.key")]),
      await wrong(["--cacert", file("operator.key")]),
      await wrong([], { TOKEN_BLACKLIST_TLS: "on" }),
    ]).to.deep.equal(
      [
        `--token ${bearerAlone}`,
        `--token ${bearerAlone}`,
        `TOKEN_BLACKLIST_TOKEN ${bearerAlone}`,
        "--token and --token-file are both set: choose one",
        "TOKEN_BLACKLIST_TOKEN and TOKEN_BLACKLIST_TOKEN_FILE are both set: choose one",
        `the content of the file of --token-file ${bearerAlone}`,
        `the content of the file of TOKEN_BLACKLIST_TOKEN_FILE ${bearerAlone}`,
        "--token-file must be the name of a file that contains the token, not the token",
        "the file of TOKEN_BLACKLIST_TOKEN_FILE cannot be read (ENOENT)",
        "the file of --cacert cannot be read (ENOENT)",
        "the file of --key cannot be read (EISDIR)",
        "the file of TOKEN_BLACKLIST_CERT cannot be read (ENOENT)",
        "--cert also needs --key, or TOKEN_BLACKLIST_KEY",
        "TOKEN_BLACKLIST_KEY also needs --cert, or TOKEN_BLACKLIST_CERT",
        "cert and key cannot be used (ERR_OSSL_X509_KEY_VALUES_MISMATCH)",
        "the CA certificate cannot be used (ERR_OSSL_PEM_NO_START_LINE)",
        "TOKEN_BLACKLIST_TLS must be yes or no",
      ].map(usage),
    );
  });

  it("explain that a file was given for a token, or a token for a file", async () => {
    const [token, inFile] = [
      "must be the token, not a file name: use TOKEN_BLACKLIST_TOKEN_FILE for a file",
      "must be the name of a file that contains the token, not the token",
    ];
    const option = "--token must be the token, not a file name: use --token-file for a file";
    expect([
      await wrong(["--token", file("alice.token")]),
      await wrong(["--token", "./absent.jwt"]),
      await wrong(["--token", "~/alice.token"]),
      await wrong(["--token", "package.json"]),
      await wrong([], { TOKEN_BLACKLIST_TOKEN: file("alice.token") }),
      await wrong(["--token-file", alice]),
      await wrong([], { TOKEN_BLACKLIST_TOKEN_FILE: alice }),
    ]).to.deep.equal(
      [
        option,
        option,
        option,
        option,
        `TOKEN_BLACKLIST_TOKEN ${token}`,
        `--token-file ${inFile}`,
        `TOKEN_BLACKLIST_TOKEN_FILE ${inFile}`,
      ].map(usage),
    );
  });

  it("are not repeated if their option is mistyped", async () => {
    expect(await wrong([`--tokn=${alice}`, ...plain()])).to.deep.equal({
      exitCode: 2,
      stderr: `error: unknown option '--tokn=...'\n${HINT}`,
    });
  });

  it("explain TLS failures", async () => {
    const at = service.encrypted;
    const inPlainText = service.plain.replace("127.0.0.1", "localhost");
    const distrusted =
      `error: the certificate of the service at ${at} is not trusted ` +
      "(Error: self-signed certificate in certificate chain): check --cacert and --address\n";
    const hungUp =
      `error: the server at ${at} closed the connection: check --address, whether it requires TLS (--tls, --cacert), ` +
      "and whether it accepts your --cert\n";
    const noTls =
      `error: the server at ${inPlainText} does not use TLS: ` +
      "check --address, or omit --tls, --cacert and --cert\n";
    expect([
      await wrong([...encrypted(), "--cacert", file("other-ca.pem")]),
      await wrong([...encrypted(), "--tls"]),
      await wrong(encrypted(), { TOKEN_BLACKLIST_TLS: "yes" }),
      await wrong(encrypted()),
      await wrong([...trusting(), ...own("stranger")]),
      await wrong(["--address", inPlainText, "--tls"]),
    ]).to.deep.equal(
      [distrusted, distrusted, distrusted, hungUp, hungUp, noTls].map((stderr) => ({ exitCode: 69, stderr })),
    );
  });

  /** Runs the command in a process, where variables of Node.js have an effect and a blocking read can be killed. */
  async function inProcess(argv: readonly string[], stdin = "", env: Record<string, string> = {}) {
    const child = spawn(process.execPath, [...MAIN, ...argv], {
      env: { PATH: process.env.PATH, ...env },
      timeout: 15_000,
    });
    child.stdin.end(stdin);
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit"),
    ]);
    return { code, stdout, stderr };
  }

  it("with --tls trust the CAs that Node.js trusts", async () => {
    const argv = ["list", ...encrypted(), "--tls", "--token", alice, "--jti", "none", "--output", "json"];
    const env = { NODE_EXTRA_CA_CERTS: file("ca.pem") };
    expect(await inProcess(argv, "", env)).to.deep.equal({
      code: 0,
      stdout: "[]\n",
      stderr: "No entries.\n",
    });
  });

  describe("in a file", () => {
    const bulk = (name: string) => {
      const options = ["--token-file", file(name), "--output", "ndjson", ...plain()];
      return ["blacklist", "-", "--expires-at", "1h", ...options];
    };

    /** The callers of two batches, with the file changed between them. */
    async function callersOf(change: () => Promise<void>): Promise<string[]> {
      await service.write("renewed.token", alice);
      const stdin = new PassThrough();
      let printed = "";
      let begun = () => {};
      const firstBatch = new Promise<void>((resolve) => {
        begun = resolve;
      });
      const stdout = new Writable({
        write(chunk, _, done) {
          printed += chunk;
          begun();
          done();
        },
      });
      stdin.write(lines(1000));
      const running = service.run(bulk("renewed.token"), { stdin, io: { stdout } });
      await Promise.race([firstBatch, running]);
      await change();
      stdin.end(lines(1000));
      const { exitCode, stderr } = await running;
      expect({ exitCode, stderr }).to.deep.equal({ exitCode: 0, stderr: "" });
      const callers = printed
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { revoked_by: string }).revoked_by);
      expect(callers).to.have.length(2000);
      return [...new Set(callers.slice(0, 1000)), ...new Set(callers.slice(1000))];
    }

    it("are read again: a token replaced during a run is used", async () => {
      expect(await callersOf(() => writeFile(file("renewed.token"), bob))).to.deep.equal(["alice", "bob"]);
    });

    it("stay unchanged while the file contains none", async () => {
      expect(await callersOf(() => writeFile(file("renewed.token"), ""))).to.deep.equal(["alice", "alice"]);
    });

    it("are read from a pipe only once", async () => {
      execFileSync("sh", ["-c", 'mkfifo "$0"', file("fifo")]);
      const running = inProcess(bulk("fifo"), lines(1001));
      await writeFile(file("fifo"), alice);
      const { code, stdout, stderr } = await running;
      expect({ code, rows: stdout.split("\n").length - 1, stderr }).to.deep.equal({
        code: 0,
        rows: 1001,
        stderr: "",
      });
    });
  });
});
