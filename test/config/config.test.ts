import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "chai";
import { ConfigError, describeDatabase, readConfig } from "../../src/config/config.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import { createAuthority } from "../support/certificates.ts";
import { thrownBy } from "../support/rejection.ts";
import { freshFolder } from "../support/shared.ts";
import { CANARY, DEFAULTS, problemsOf, writtenFile } from "./settings.ts";

describe("readConfig", () => {
  it("has a default for every setting", () => {
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
      MAX_CONNECTIONS: "500",
      MAX_CONNECTIONS_PER_ADDRESS: "50",
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
      authz: DEFAULTS.authz,
      connections: { total: 500, perAddress: 50 },
    });
  });

  it("treats an empty variable as absent", () => {
    const env = {
      DATABASE_URL: "",
      LISTEN_ADDRESS: "",
      EXPIRY_LEEWAY: "",
      LOG_LEVEL: "",
      LOG_LEVEL_FILE: "",
    };
    expect(readConfig(env)).to.deep.equal(DEFAULTS);
  });

  it("returns a frozen configuration", () => {
    expect(readConfig({})).to.be.frozen;
  });

  it("reports all problems in one error, one per line", () => {
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

  it("accepts durations within their bounds only", () => {
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

    it("removes only one line break at the end", async () => {
      await writeFile(file, "sqlite:a b\n");
      expect(readConfig({ DATABASE_URL_FILE: file }).database).to.deep.equal({
        kind: "sqlite",
        filename: "a b",
      });
      await writeFile(file, "sqlite:a b \n");
      expect(problemsOf({ DATABASE_URL_FILE: file })).to.deep.equal([
        "DATABASE_URL begins or ends with a space: remove it",
      ]);
    });

    it("refuses both variables at once, and a missing file", () => {
      const env = { DATABASE_URL: "sqlite:x", DATABASE_URL_FILE: file, LOG_LEVEL_FILE: file };
      expect(problemsOf(env)).to.deep.equal([
        "DATABASE_URL and DATABASE_URL_FILE are both set: choose one",
        "LOG_LEVEL cannot be read from the file that LOG_LEVEL_FILE names (ENOENT)",
      ]);
    });

    it("does not fall back to the default if the file is empty", async () => {
      await writeFile(file, "");
      expect(problemsOf({ DATABASE_URL_FILE: file })).to.deep.equal([
        "DATABASE_URL cannot be read: the file that DATABASE_URL_FILE names is empty",
      ]);
    });
  });

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
    it(`never repeats a password, such as in ${url}`, async () => {
      const file = join(await freshFolder(), "url");
      await writeFile(file, url);
      for (const env of [{ DATABASE_URL: url }, { DATABASE_URL_FILE: file }]) {
        const error = thrownBy(() => readConfig(env)) as ConfigError;
        expect(error.problems).to.have.length(1);
        expect(`${error.stack}\n${JSON.stringify(error)}`).not.to.include(CANARY);
      }
    });
  }

  describe("of the database connection", () => {
    const tlsOf = (env: Record<string, string>) => (readConfig(env).database as { tls?: unknown }).tls;

    it("is encrypted to other machines by default, and not to this one", () => {
      for (const host of ["db", "10.0.0.7", "[fd00::7]", "127.evil.example", "localhost.evil.example"]) {
        const DATABASE_URL = `mysql://${host}/tokens`;
        expect([tlsOf({ DATABASE_URL }), tlsOf({ DATABASE_URL, DATABASE_TLS: "off" })], host).to.deep.equal([
          {},
          undefined,
        ]);
      }
      for (const host of ["localhost", "127.0.0.1", "[::1]"]) {
        const DATABASE_URL = `mysql://${host}/tokens`;
        expect([tlsOf({ DATABASE_URL }), tlsOf({ DATABASE_URL, DATABASE_TLS: "on" })], host).to.deep.equal([
          undefined,
          {},
        ]);
      }
    });

    it("is encrypted if a CA is configured, which is read at start", async () => {
      const ca = (await createAuthority()).certificate;
      const DATABASE_CA_FILE = await writtenFile(ca);
      const tls = { ca };
      for (const host of ["db", "localhost"]) {
        const env = { DATABASE_URL: `mysql://${host}/tokens`, DATABASE_CA_FILE };
        expect([tlsOf(env), tlsOf({ ...env, DATABASE_TLS: "on" })]).to.deep.equal([tls, tls]);
      }
    });

    it("refuses a CA with encryption turned off", async () => {
      const env = {
        DATABASE_URL: "mysql://db/tokens",
        DATABASE_TLS: "off",
        DATABASE_CA_FILE: await writtenFile((await createAuthority()).certificate),
      };
      expect(problemsOf(env)).to.deep.equal(["DATABASE_CA_FILE needs DATABASE_TLS=on"]);
    });

    it("does not treat an empty file, or one without a certificate, as the CAs that Node.js trusts", async () => {
      for (const text of ["", "\n", "-----BEGIN CERTIFICATE-----\n", CANARY]) {
        const env = { DATABASE_URL: "mysql://db/tokens", DATABASE_CA_FILE: await writtenFile(text) };
        expect(problemsOf(env)).to.have.length(1);
        expect(problemsOf(env)[0]).to.match(
          /^DATABASE_CA_FILE names a file (that is empty|without a certificate in PEM)/,
        );
      }
    });

    it("reports the problem of each", async () => {
      expect(
        problemsOf({
          DATABASE_URL: "mysql://db/tokens",
          DATABASE_TLS: "yes",
          DATABASE_CA_FILE: join(await freshFolder(), CANARY),
        }),
      ).to.deep.equal([
        "DATABASE_TLS must be on or off",
        "DATABASE_CA_FILE names a file that cannot be read (ENOENT)",
      ]);
    });

    it("is not encrypted for a file", () => {
      expect(readConfig({ DATABASE_TLS: "on" }).database).to.deep.equal(DEFAULTS.database);
    });
  });

  it("never repeats a value into which a secret may have been put by mistake", () => {
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
        "DATABASE_TLS",
        "DATABASE_CA_FILE",
        "AUTH_JWKS_URL",
        "AUTH_ALGORITHMS",
        "AUTH_CLOCK_TOLERANCE",
        "TLS_CERT_FILE",
        "TLS_CLIENT_ROLES",
        "INSECURE",
        "REFLECTION",
        "TOKEN_ISSUERS",
        "TOKEN_ALGORITHMS",
        "MAX_TOKEN_LIFETIME",
        "AUDIT_LOG",
        "QUOTA_ROWS_PER_SECOND",
        "QUOTA_ROWS",
      ].map((name) => [name, `/${CANARY}`]),
    );
    const problems = problemsOf(env);
    for (const name of Object.keys(env)) {
      expect(
        problems.some((problem) => problem.startsWith(name.replace("URL_FILE", "URL"))),
        name,
      ).to.equal(true);
    }
    expect(problemsOf(env).join()).not.to.include(CANARY);
  });
});

describe("describeDatabase", () => {
  it("describes the location without user and password", () => {
    const urls = [
      "sqlite:./data/x.db",
      "mysql://tb:c4n4ry@db.internal/tokens",
      "mariadb://tb:c4n4ry@[::1]:3307/t",
    ];
    expect(urls.map((url) => describeDatabase(parseDatabaseUrl(url)))).to.deep.equal([
      { database: "sqlite", file: "./data/x.db" },
      { database: "mysql", host: "db.internal:3306", schema: "tokens" },
      { database: "mysql", host: "[::1]:3307", schema: "t" },
    ]);
  });
});
