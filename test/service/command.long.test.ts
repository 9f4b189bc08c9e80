import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect } from "chai";
import { createAuthority } from "../support/certificates.ts";
import { CommandProcess, type Ended, serveProcess } from "../support/service-process.ts";
import { freshDatabase, freshFolder } from "../support/shared.ts";

const PORTS = { LISTEN_ADDRESS: "127.0.0.1:0", ADMIN_ADDRESS: "127.0.0.1:0" };

function end(args: string[], env: Record<string, string>): Promise<Ended> {
  return new CommandProcess(args, { ...PORTS, ...env }).ended;
}

describe("a start that fails", function () {
  this.timeout(60_000);
  let folder: string;

  beforeEach(async () => {
    folder = await freshFolder();
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it("reports every problem of the configuration at once, and exits with 2", async () => {
    const env = {
      DATABASE_URL: "postgres://user:swordfish@host/db",
      LISTEN_ADDRESS: "nowhere",
      EXPIRY_LEEWAY: "5 minutes",
      LOG_LEVEL: "loud",
    };
    expect(await end(["serve"], env)).to.deep.equal({
      code: 2,
      signal: null,
      stdout: "",
      stderr: [
        "token-blacklist: invalid configuration:",
        "  DATABASE_URL must begin with sqlite: or mysql://",
        "  LISTEN_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
        "  EXPIRY_LEEWAY must be a duration such as 30s, 5m or 1h",
        "  LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent",
        "",
      ].join("\n"),
    });
  });

  it("creates no other file for a line break or quotes in DATABASE_URL, and exits with 2", async () => {
    for (const url of [`sqlite:${join(folder, "x.db")}\n`, `"sqlite:${join(folder, "x.db")}"`]) {
      for (const args of [["serve"], ["migrate", "up"]]) {
        const { code, stderr } = await end(args, { DATABASE_URL: url });
        expect([code, stderr.split("\n").length, stderr.includes("  DATABASE_URL ")]).to.deep.equal([
          2,
          3,
          true,
        ]);
      }
    }
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it("refuses a key of another certificate as an invalid setting, before it creates a database", async () => {
    const authority = await createAuthority();
    const [own, other] = [await authority.issue([]), await authority.issue([])];
    const [TLS_CERT_FILE, TLS_KEY_FILE] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    await writeFile(TLS_CERT_FILE, own.certificate);
    await writeFile(TLS_KEY_FILE, other.key);
    const { code, stderr } = await end(["serve"], {
      DATABASE_URL: `sqlite:${join(folder, "x.db")}`,
      TLS_CERT_FILE,
      TLS_KEY_FILE,
    });
    expect([code, stderr]).to.deep.equal([
      2,
      "token-blacklist: invalid configuration:\n  TLS_KEY_FILE is not the key of the certificate in TLS_CERT_FILE: use a certificate and the key it was issued for\n",
    ]);
    expect((await readdir(folder)).sort()).to.deep.equal(["cert.pem", "key.pem"]);
  });

  it("reports misspelt settings with other problems, and in migrate", async () => {
    const meant = "the variable LISTEN_ADRESS is not a setting: did you mean LISTEN_ADDRESS?\n";
    const wrong = await end(["serve"], { LISTEN_ADRESS: "c4n4ry:1", LOG_LEVEL: "loud" });
    expect([wrong.code, wrong.stderr.endsWith(`  ${meant}`)]).to.deep.equal([2, true]);
    const migrated = await end(["migrate", "up"], {
      LISTEN_ADRESS: "c4n4ry:1",
      DATABASE_URL: `sqlite:${join(folder, "x.db")}`,
    });
    expect([migrated.code, migrated.stderr]).to.deep.equal([0, `warning: ${meant}`]);
  });

  for (const name of ["LISTEN_ADDRESS", "ADMIN_ADDRESS"]) {
    it(`reports in one line that the port of ${name} is in use`, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const taken = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { code, stderr } = await end(["serve"], {
        DATABASE_URL: `sqlite:${join(folder, "x.db")}`,
        [name]: taken,
      });
      server.close();
      expect([code, stderr]).to.deep.equal([
        70,
        `token-blacklist: cannot listen on ${name} ${taken}: the port is in use\n`,
      ]);
    });
  }

  it("reports in one line that the data folder is not writable", async () => {
    await writeFile(join(folder, "file"), "");
    const { code, stderr } = await end(["serve"], { DATABASE_URL: `sqlite:${join(folder, "file", "x.db")}` });
    expect([code, stderr]).to.deep.equal([
      70,
      `token-blacklist: the database file ${join(folder, "file", "x.db")} cannot be opened for writing: a part of its path is a file\n`,
    ]);
  });

  it("reports in one line that a file is not a database", async () => {
    await writeFile(
      join(folder, "x.db"),
      "certainly not a database, only a text that is long enough to be looked at".repeat(20),
    );
    const { code, stderr } = await end(["serve"], { DATABASE_URL: `sqlite:${join(folder, "x.db")}` });
    expect([code, stderr]).to.deep.equal([
      70,
      `token-blacklist: ${join(folder, "x.db")} is not a SQLite database\n`,
    ]);
  });

  it("leaves an embedded file to the process that has opened it, in one line, for serve and migrate", async () => {
    const url = `sqlite:${join(folder, "x.db")}`;
    const service = await serveProcess({ DATABASE_URL: url });
    const expected = [
      70,
      `token-blacklist: the database file ${join(folder, "x.db")} is in use by another process: is the service running already? Stop that one, or name another file in DATABASE_URL\n`,
    ];
    try {
      for (const args of [["serve"], ["migrate", "status"], ["migrate", "up"]]) {
        const { code, stderr } = await end(args, { DATABASE_URL: url });
        expect([code, stderr]).to.deep.equal(expected);
      }
    } finally {
      await service.kill();
    }
  });

  it("refuses an outdated MySQL schema in one line with the command to run", async () => {
    const { url, dispose } = await freshDatabase();
    try {
      const { code, stderr } = await end(["serve"], { DATABASE_URL: url });
      expect(code).to.equal(70);
      expect(stderr).to.match(
        /^token-blacklist: the database's schema is out of date .* run `token-blacklist migrate up`\n$/,
      );
    } finally {
      await dispose();
    }
  });
});

describe("token-blacklist migrate", function () {
  this.timeout(60_000);

  it("migrates an empty database to the current version, and reports every step", async () => {
    const { url, dispose } = await freshDatabase();
    try {
      const steps = [];
      for (const action of ["check", "status", "up", "up", "status", "check", "unlock"]) {
        const { code, stdout } = await end(["migrate", action], { DATABASE_URL: url });
        steps.push([action, code, stdout.split("\n")[0]]);
      }
      expect(steps).to.deep.equal([
        [
          "check",
          1,
          "the database's schema is out of date (4 of 4 migrations missing): run `token-blacklist migrate up`",
        ],
        ["status", 0, "pending  0001-blacklisted-tokens"],
        ["up", 0, "applied  0001-blacklisted-tokens"],
        ["up", 0, "the schema is up to date"],
        ["status", 0, "applied  0001-blacklisted-tokens"],
        ["check", 0, "the schema is up to date"],
        ["unlock", 0, "the migration lock is released"],
      ]);
    } finally {
      await dispose();
    }
  });

  it("reports pending migrations with check, and changes neither a schema nor a missing file", async () => {
    const { url, dispose } = await freshDatabase();
    const folder = await freshFolder();
    try {
      const pending = [
        "0001-blacklisted-tokens",
        "0002-blacklist-state",
        "0003-blacklist-commits",
        "0004-first-revision",
      ];
      const server = [
        "the database's schema is out of date (4 of 4 migrations missing): run `token-blacklist migrate up`",
        ...pending.map((name) => `pending  ${name}`),
        "",
      ].join("\n");
      const file = `the database file ${join(folder, "x.db")} does not exist: serve or migrate up creates it\n`;
      const found = [];
      for (const DATABASE_URL of [url, url, `sqlite:${join(folder, "x.db")}`]) {
        const { code, stdout, stderr } = await end(["migrate", "check"], { DATABASE_URL });
        found.push([code, stdout, stderr]);
      }
      expect(found).to.deep.equal([
        [1, server, ""],
        [1, server, ""],
        [1, file, ""],
      ]);
      expect(await readdir(folder)).to.deep.equal([]);
    } finally {
      await dispose();
      await rm(folder, { recursive: true });
    }
  });

  it("fails if its output cannot be written", async () => {
    const folder = await freshFolder();
    const full = openSync("/dev/full", "w");
    const { ended } = new CommandProcess(
      ["migrate", "up"],
      { DATABASE_URL: `sqlite:${join(folder, "x.db")}` },
      { stdout: full },
    );
    const { code, stderr } = await ended;
    closeSync(full);
    await rm(folder, { recursive: true });
    expect([code, stderr]).to.deep.equal([70, "error: standard output cannot be written (ENOSPC)\n"]);
  });

  it("distinguishes invalid settings from a database failure by the exit code of check", async () => {
    const codes = [];
    for (const DATABASE_URL of ["nonsense:", "mysql://user:swordfish@127.0.0.1:1/db"]) {
      codes.push((await end(["migrate", "check"], { DATABASE_URL })).code);
    }
    expect(codes).to.deep.equal([2, 69]);
  });

  it("exits with 69 in one line with advice and without the password if the database is unreachable", async () => {
    const ended = [];
    for (const host of ["127.0.0.1:1", "nowhere.invalid"]) {
      const DATABASE_URL = `mysql://user:swordfish@${host}/db`;
      const { code, stderr } = await end(["migrate", "up"], { DATABASE_URL, DATABASE_TLS: "off" });
      // The error on a machine without DNS.
      ended.push([
        code,
        stderr.replace("EAI_AGAIN", "ENOTFOUND").replace(", and whether names can be looked up here", ""),
      ]);
    }
    const said = "token-blacklist: the database cannot be reached at the moment: ";
    expect(ended).to.deep.equal([
      [
        69,
        `${said}connect ECONNREFUSED 127.0.0.1:1; nothing listens there: start the database, or check host and port in DATABASE_URL\n`,
      ],
      [69, `${said}getaddrinfo ENOTFOUND nowhere.invalid; check the host in DATABASE_URL\n`],
    ]);
  });

  it("gives advice if the database does not exist or the password is wrong", async () => {
    const { url, dispose } = await freshDatabase();
    const absent = Object.assign(new URL(url), { pathname: "/absent" }).href;
    const stranger = Object.assign(new URL(url), { password: "swordfish" }).href;
    const said = [];
    for (const DATABASE_URL of [absent, stranger]) {
      const { code, stderr } = await end(["migrate", "up"], { DATABASE_URL });
      said.push([code, stderr.replace(/^.*; /, ""), stderr.includes("swordfish")]);
    }
    await dispose();
    expect(said).to.deep.equal([
      [69, "create that database, or check its name in DATABASE_URL\n", false],
      [
        69,
        "check user and password in DATABASE_URL, and whether the user must come over TLS (DATABASE_CA_FILE)\n",
        false,
      ],
    ]);
  });
});

describe("token-blacklist serve", function () {
  this.timeout(60_000);

  it("logs the name of a misspelt setting without its value", async () => {
    const folder = await freshFolder();
    const service = await serveProcess({
      DATABASE_URL: `sqlite:${join(folder, "x.db")}`,
      LISTEN_ADRESS: "c4n4ry:1",
      TOKEN_BLACKLIST_SERVICE_HOST: "10.0.0.1",
    });
    await service.kill();
    const { stdout, stderr } = await service.process.ended;
    expect(stdout).to.include(
      '"variable":"LISTEN_ADRESS","meant":"LISTEN_ADDRESS","msg":"a variable that looks like a setting is not read"',
    );
    expect(stdout.match(/looks like a setting/g)).to.have.length(1);
    expect(stdout + stderr).not.to.include("c4n4ry");
    await rm(folder, { recursive: true });
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`ends with exit code 0 on ${signal}`, async () => {
      const folder = await freshFolder();
      const service = await serveProcess({ DATABASE_URL: `sqlite:${join(folder, "x.db")}` });
      await service.client.isBlacklisted({ jtis: ["a"] });
      await service.process.signal(signal);
      const { code } = await service.process.ended;
      service.client.close();
      await rm(folder, { recursive: true });
      expect(code).to.equal(0);
    });
  }
});
