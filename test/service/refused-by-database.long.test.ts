import { isDeepStrictEqual } from "node:util";
import { create, type DescMethodUnary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect } from "chai";
import mysql, { type Connection, type RowDataPacket } from "mysql2/promise";
import { TokenBlacklist } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { migrate } from "../../src/start/migrate.ts";
import { parseDatabaseUrl } from "../../src/store/database-url.ts";
import type { PrivateMariadb } from "../support/mariadb.ts";
import type { TestDatabase } from "../support/mysql-database.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { type RunningService, startService } from "../support/service.ts";
import { detailsOf } from "../support/status-details.ts";
import { until } from "../support/until.ts";

const TABLES = ["blacklisted_tokens", "blacklist_state", "blacklist_commits", "blacklist_migrations"];
const { method } = TokenBlacklist;

type Name = "Blacklist" | "IsBlacklisted" | "List" | "Prune";

interface Fault {
  inflict(): Promise<unknown>;
  mend(): Promise<unknown>;
  /** The operations that continue. */
  readonly spared?: readonly Name[];
  /** Checks may continue from memory, as readiness reports. */
  readonly checksMayGoOn?: boolean;
}

for (const index of ["on", "off"] as const) {
  describe(`a temporary refusal by the database, index ${index}`, function () {
    this.timeout(60_000);
    let server: PrivateMariadb;
    let database: TestDatabase;
    let user: string;
    /** The service's address. */
    let url: string;
    let root: Connection;
    let running: RunningService;
    let channel: RawChannel;

    before(async function () {
      server = await ownMariadb(this);
    });
    after(() => server?.stop());

    beforeEach(async () => {
      database = await server.createDatabase();
      await migrate("up", parseDatabaseUrl(database.url), () => {});
      root = await mysql.createConnection({ uri: server.url(), multipleStatements: true });
      root.on("error", () => {});
      user = `'service_${database.name.slice(-8)}'@'%'`;
      await root.query(`CREATE USER ${user} IDENTIFIED BY 'canary-password'`);
      await grant();
      url = Object.assign(new URL(database.url), {
        username: user.split("'")[1],
        password: "canary-password",
      }).href;
      running = await startService({ url, env: { INDEX: index }, migrated: false });
      if (index === "on") await running.indexLoaded();
      channel = new RawChannel(running.address);
      expect(await outcomes()).to.deep.equal({ ...SERVED, ready: 200 });
    });

    afterEach(async () => {
      channel?.close();
      await running?.stop();
      await root?.query(`DROP USER IF EXISTS ${user}`);
      root?.destroy();
      await database.drop();
    });

    /** As documented in docs/operations.md. */
    async function grant(): Promise<void> {
      const { name } = database;
      await root.query(
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ${name}.blacklisted_tokens TO ${user};
         GRANT SELECT, UPDATE ON ${name}.blacklist_state TO ${user};
         GRANT SELECT, INSERT, DELETE ON ${name}.blacklist_commits TO ${user};
         GRANT SELECT ON ${name}.blacklist_migrations TO ${user}`,
      );
    }

    /** Ends all sessions, which must reconnect. */
    async function endSessions(): Promise<void> {
      const [sessions] = await root.query<RowDataPacket[]>(
        "SELECT id FROM information_schema.processlist WHERE user = ?",
        [user.split("'")[1]],
      );
      for (const { id } of sessions) await root.query(`KILL ${id}`).catch(() => {});
    }

    async function tell<M extends DescMethodUnary>(
      of: M,
      init: MessageInitShape<M["input"]>,
    ): Promise<string> {
      const path = `/${of.parent.typeName}/${of.name}`;
      const answer = await channel.call(path, toBinary(of.input, create(of.input, init)), {
        timeoutMs: 10_000,
      });
      if (answer.code === "OK") return "OK";
      const { reason, retryAfterMs, message } = detailsOf(answer) ?? {};
      // The driver's message is only logged.
      const isOurs = /^the database (cannot be (used|reached) at the moment|takes no writes at the moment)$/;
      return `${answer.code} ${reason} ${retryAfterMs} ${isOurs.test(message ?? "") ? "" : message}`.trim();
    }

    let round = 0;
    const ASK: Record<Name, () => Promise<string>> = {
      Blacklist: () =>
        tell(method.blacklist, {
          tokens: [{ token: { case: "jti", value: `token ${round++}` }, expiresAt: YEAR_2100 }],
        }),
      IsBlacklisted: () => tell(method.isBlacklisted, { jtis: ["unknown"] }),
      List: () => tell(method.list, {}),
      Prune: () => tell(method.prune, {}),
    };
    const SERVED: Record<Name, string> = { Blacklist: "OK", IsBlacklisted: "OK", List: "OK", Prune: "OK" };
    const REFUSED = "UNAVAILABLE STORE_UNAVAILABLE 500";

    async function outcomes(): Promise<Record<Name, string> & { ready: number }> {
      const told: Record<string, string> = {};
      for (const [name, ask] of Object.entries(ASK)) told[name] = await ask();
      const { status } = await fetch(`${running.adminUrl}/readyz`);
      return { ...(told as Record<Name, string>), ready: status };
    }

    let occupant: Connection | undefined;

    const FAULTS: Record<string, () => Fault> = {
      "an account that has as many connections as it may": () => ({
        async inflict() {
          await root.query(`ALTER USER ${user} WITH MAX_USER_CONNECTIONS 1`);
          const asService = Object.assign(new URL(url), { pathname: "/" }).href;
          // One replica gets the remaining connection.
          await until(
            async () => {
              await endSessions();
              occupant = await mysql.createConnection({ uri: asService }).catch(() => undefined);
              return occupant !== undefined;
            },
            { withinMs: 5000, what: "another replica has the account's only connection" },
          );
          occupant?.on("error", () => {});
        },
        async mend() {
          occupant?.destroy();
          await root.query(`ALTER USER ${user} WITH MAX_USER_CONNECTIONS 0`);
        },
      }),
      "an account that may send nothing more in this hour": () => ({
        async inflict() {
          await root.query(`ALTER USER ${user} WITH MAX_QUERIES_PER_HOUR 1`);
          await endSessions();
        },
        async mend() {
          await root.query(`ALTER USER ${user} WITH MAX_QUERIES_PER_HOUR 0; FLUSH USER_RESOURCES`);
        },
      }),
      "an account that is locked": () => ({
        async inflict() {
          await root.query(`ALTER USER ${user} ACCOUNT LOCK`);
          await endSessions();
        },
        mend: () => root.query(`ALTER USER ${user} ACCOUNT UNLOCK`),
      }),
      "an account with another password": () => ({
        async inflict() {
          await root.query(`ALTER USER ${user} IDENTIFIED BY 'canary-other'`);
          await endSessions();
        },
        mend: () => root.query(`ALTER USER ${user} IDENTIFIED BY 'canary-password'`),
      }),
      "an account whose password has expired": () => ({
        async inflict() {
          await root.query(`ALTER USER ${user} PASSWORD EXPIRE`);
          await endSessions();
        },
        mend: () => root.query(`ALTER USER ${user} IDENTIFIED BY 'canary-password'`),
      }),
      "an account that has lost its privileges": () => ({
        inflict: () => root.query(`REVOKE ALL PRIVILEGES, GRANT OPTION FROM ${user}`),
        mend: grant,
      }),
      "a server that has as many connections as it may": () => ({
        async inflict() {
          await root.query("SET GLOBAL max_connections = 10");
          await endSessions();
          // Root may exceed the limit by one connection.
          const others = Array.from({ length: 20 }, () =>
            mysql.createConnection({ uri: server.url() }).catch(() => undefined),
          );
          crowd = (await Promise.all(others)).filter((one) => one !== undefined);
          for (const one of crowd) one.on("error", () => {});
        },
        async mend() {
          for (const one of crowd.splice(0)) one.destroy();
          await root.query("SET GLOBAL max_connections = 500");
        },
      }),
      "a table that is renamed": () => ({
        inflict: () =>
          root.query(`RENAME TABLE ${database.name}.blacklisted_tokens TO ${database.name}.elsewhere`),
        mend: () =>
          root.query(`RENAME TABLE ${database.name}.elsewhere TO ${database.name}.blacklisted_tokens`),
        // The state row shows that nothing was written since the last read.
        checksMayGoOn: index === "on",
      }),
      "a column that is renamed": () => ({
        inflict: () =>
          root.query(`ALTER TABLE ${database.name}.blacklisted_tokens RENAME COLUMN expires_at TO elsewhere`),
        mend: () =>
          root.query(`ALTER TABLE ${database.name}.blacklisted_tokens RENAME COLUMN elsewhere TO expires_at`),
        checksMayGoOn: index === "on",
      }),
      "a database that is put aside": () => ({
        inflict: () =>
          root.query(
            `CREATE DATABASE ${database.name}_aside; ${TABLES.map((table) => `RENAME TABLE ${database.name}.${table} TO ${database.name}_aside.${table}`).join(";")}; DROP DATABASE ${database.name}`,
          ),
        mend: () =>
          root.query(
            `CREATE DATABASE ${database.name}; ${TABLES.map((table) => `RENAME TABLE ${database.name}_aside.${table} TO ${database.name}.${table}`).join(";")}; DROP DATABASE ${database.name}_aside`,
          ),
      }),
      "updates of an account that has made as many as it may": () => ({
        async inflict() {
          await root.query(
            `INSERT INTO ${database.name}.blacklisted_tokens VALUES ('over', 1, 1, '', '', 0, 0)`,
          );
          await root.query(`ALTER USER ${user} WITH MAX_UPDATES_PER_HOUR 1`);
          await endSessions();
        },
        async mend() {
          await root.query(`ALTER USER ${user} WITH MAX_UPDATES_PER_HOUR 0; FLUSH USER_RESOURCES`);
          await endSessions();
        },
        spared: ["IsBlacklisted", "List"],
      }),
    };
    let crowd: Connection[] = [];

    for (const [what, fault] of Object.entries(FAULTS)) {
      it(`is UNAVAILABLE with a retry delay, and ends with its cause: ${what}`, async () => {
        const { inflict, mend, spared = [], checksMayGoOn = false } = fault();
        function expected(isReady: boolean): Record<string, unknown> {
          const goesOn = checksMayGoOn && isReady ? ["IsBlacklisted", ...spared] : spared;
          const told = Object.keys(ASK).map((name) => [name, goesOn.includes(name as Name) ? "OK" : REFUSED]);
          return { ...Object.fromEntries(told), ready: goesOn.includes("IsBlacklisted") ? 200 : 503 };
        }
        try {
          await inflict();
          let told: Record<string, unknown> = {};
          await until(
            async () => {
              told = await outcomes();
              // Never INTERNAL, not even during the transition.
              expect(Object.values(told).map(String).join()).not.to.match(/INTERNAL|UNKNOWN/);
              return isDeepStrictEqual(told, expected(told.ready === 200));
            },
            { withinMs: 6000, what: "the database refuses" },
          ).catch(() => expect(told).to.deep.equal(expected(told.ready === 200)));
          expect(running.logText()).not.to.include("canary-password");
        } finally {
          await mend();
        }
        let told: Record<string, unknown> = {};
        await until(
          async () => {
            told = await outcomes();
            return isDeepStrictEqual(told, { ...SERVED, ready: 200 });
          },
          { withinMs: 8000, what: "everything is served again" },
        ).catch(() => expect(told).to.deep.equal({ ...SERVED, ready: 200 }));
      });
    }
  });
}
