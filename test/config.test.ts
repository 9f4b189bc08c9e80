import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { type Config, ConfigError, readConfig } from "../src/config/config.ts";
import { thrownBy } from "./support/rejection.ts";
import { freshFolder } from "./support/shared.ts";

const DEFAULTS: Config = {
  database: { kind: "sqlite", filename: "./data/token-blacklist.db" },
  listenAddress: { host: "127.0.0.1", port: 50051 },
  adminAddress: { host: "127.0.0.1", port: 9464 },
  expiryLeewayMs: 5 * 60_000,
  pruneIntervalMs: 3_600_000,
  pruneRetentionMs: 0,
  shutdownGraceMs: 30_000,
  index: true,
  indexMaxEntries: 20_000_000,
  logLevel: "info",
  security: {
    bearers: undefined,
    tls: undefined,
    certificateRoles: undefined,
    insecure: false,
    reflection: true,
    tokenIssuers: [],
    tokenAlgorithms: ["RS256", "PS256", "ES256", "EdDSA"],
    maxTokenLifetimeMs: 0,
    auditLog: true,
    quota: { rowsPerSecond: 0, rows: 0 },
  },
};

function problemsOf(env: Record<string, string>): readonly string[] {
  return (thrownBy(() => readConfig(env)) as ConfigError).problems;
}

describe("readConfig", () => {
  it("needs nothing at all", () => {
    expect(readConfig({})).to.deep.equal(DEFAULTS);
  });

  it("reads every variable", () => {
    const env = {
      DATABASE_URL: "mysql://app:s3cret@db:3307/tokens",
      LISTEN_ADDRESS: "[::1]:1",
      ADMIN_ADDRESS: "localhost:0",
      EXPIRY_LEEWAY: "0",
      PRUNE_INTERVAL: "0s",
      PRUNE_RETENTION: "90d",
      SHUTDOWN_GRACE: "1m30s",
      INDEX: "off",
      INDEX_MAX_ENTRIES: "1000",
      LOG_LEVEL: "debug",
    };
    expect(readConfig(env)).to.deep.equal({
      database: {
        kind: "mysql",
        host: "db",
        port: 3307,
        user: "app",
        password: "s3cret",
        database: "tokens",
        tls: {},
      },
      listenAddress: { host: "::1", port: 1 },
      adminAddress: { host: "localhost", port: 0 },
      expiryLeewayMs: 0,
      pruneIntervalMs: 0,
      pruneRetentionMs: 90 * 86_400_000,
      shutdownGraceMs: 90_000,
      index: false,
      indexMaxEntries: 1000,
      logLevel: "debug",
      security: DEFAULTS.security,
    });
  });

  it("takes an empty variable for an absent one", () => {
    const env = {
      DATABASE_URL: "",
      LISTEN_ADDRESS: "",
      EXPIRY_LEEWAY: "",
      LOG_LEVEL: "",
      LOG_LEVEL_FILE: "",
    };
    expect(readConfig(env)).to.deep.equal(DEFAULTS);
  });

  it("cannot be changed afterwards", () => {
    expect(readConfig({})).to.be.frozen;
  });

  it("reports every problem in one error, a line each", () => {
    const env = {
      DATABASE_URL: "postgres://db/tokens",
      LISTEN_ADDRESS: "50051",
      ADMIN_ADDRESS: "localhost:65536",
      EXPIRY_LEEWAY: "5",
      PRUNE_INTERVAL: "999ms",
      PRUNE_RETENTION: "36501d",
      SHUTDOWN_GRACE: "0",
      LOG_LEVEL: "INFO",
    };
    const error = thrownBy(() => readConfig(env)) as ConfigError;
    const problems = [
      "DATABASE_URL must begin with sqlite: or mysql://",
      "LISTEN_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
      "ADMIN_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
      "EXPIRY_LEEWAY must be a duration such as 30s, 5m or 1h",
      "PRUNE_INTERVAL must be between 1s and 20d",
      "PRUNE_RETENTION must be between 0 and 36500d",
      "SHUTDOWN_GRACE must be between 1s and 1h",
      "LOG_LEVEL must be one of fatal, error, warn, info, debug, trace, silent",
    ];
    expect(error).to.be.instanceOf(ConfigError);
    expect({ problems: error.problems, message: error.message }).to.deep.equal({
      problems,
      message: problems.join("\n"),
    });
  });

  it("accepts durations up to their bounds and nothing beyond", () => {
    const BOUNDS = [
      ["EXPIRY_LEEWAY", "0", "30d", "30d1ms"],
      ["PRUNE_INTERVAL", "1s", "20d", "20d1ms"],
      ["PRUNE_RETENTION", "0", "36500d", "36500d1ms"],
      ["SHUTDOWN_GRACE", "1s", "1h", "1h1ms"],
    ] as const;
    for (const [name, least, most, beyond] of BOUNDS) {
      readConfig({ [name]: least });
      readConfig({ [name]: most });
      expect(problemsOf({ [name]: beyond })).to.have.length(1);
    }
  });

  describe("with NAME_FILE", () => {
    let file: string;

    beforeEach(async () => {
      file = join(await freshFolder(), "database-url");
    });

    for (const ending of ["", "\n", "\r\n"]) {
      it(`reads the value from the file, which may end in ${JSON.stringify(ending)}`, async () => {
        await writeFile(file, `mysql://app:pa%20ss@db/tokens${ending}`);
        expect(readConfig({ DATABASE_URL_FILE: file }).database).to.deep.equal({
          kind: "mysql",
          host: "db",
          port: 3306,
          user: "app",
          password: "pa ss",
          database: "tokens",
          tls: {},
        });
      });
    }

    it("takes nothing but the end of the last line away", async () => {
      await writeFile(file, "sqlite: a b \n");
      expect(readConfig({ DATABASE_URL_FILE: file }).database).to.deep.equal({
        kind: "sqlite",
        filename: " a b ",
      });
    });

    it("refuses both at once, and a file that is not there", () => {
      const env = { DATABASE_URL: "sqlite:x", DATABASE_URL_FILE: file, LOG_LEVEL_FILE: file };
      expect(problemsOf(env)).to.deep.equal([
        "DATABASE_URL and DATABASE_URL_FILE are both set: choose one",
        "LOG_LEVEL cannot be read from the file that LOG_LEVEL_FILE names (ENOENT)",
      ]);
    });

    it("does not fall back to the default when the file is empty", async () => {
      await writeFile(file, "");
      expect(problemsOf({ DATABASE_URL_FILE: file })).to.deep.equal([
        "DATABASE_URL must begin with sqlite: or mysql://",
      ]);
    });
  });

  const CANARY = "c4n4ry";
  const WRONG_URLS = [
    `postgres://app:${CANARY}@db/tokens`,
    `mysql://app:${CANARY}@db`,
    `mysql://app:${CANARY}@db/`,
    `mysql://app:${CANARY}@db/a/b`,
    `mysql://app:${CANARY}@db:99999/tokens`,
    `mysql://app:${CANARY}@/tokens`,
    `mysql://app:${CANARY}%zz@db/tokens`,
    `mysql://app:${CANARY}@db/tokens?ssl=${CANARY}`,
    `mysql://app:${CANARY}@db/tokens#${CANARY}`,
    `mysql://app:${CANARY}@d b/tokens`,
    `mysql://app:${CANARY}/@db/tokens`,
    `mysql:app:${CANARY}@db/tokens`,
    CANARY,
  ];
  for (const url of WRONG_URLS) {
    it(`never repeats a password, as from ${url}`, async () => {
      const file = join(await freshFolder(), "url");
      await writeFile(file, url);
      for (const env of [{ DATABASE_URL: url }, { DATABASE_URL_FILE: file }]) {
        const error = thrownBy(() => readConfig(env)) as ConfigError;
        expect(error.problems).to.have.length(1);
        expect(`${error.stack}\n${JSON.stringify(error)}`).not.to.include(CANARY);
      }
    });
  }

  it("never repeats what stands where a secret may have been put by mistake", () => {
    const env = Object.fromEntries(
      [
        "LISTEN_ADDRESS",
        "ADMIN_ADDRESS",
        "EXPIRY_LEEWAY",
        "PRUNE_INTERVAL",
        "PRUNE_RETENTION",
        "SHUTDOWN_GRACE",
        "LOG_LEVEL",
        "DATABASE_URL_FILE",
      ].map((name) => [name, `/${CANARY}`]),
    );
    expect(problemsOf(env)).to.have.length(8);
    expect(problemsOf(env).join()).not.to.include(CANARY);
  });
});
