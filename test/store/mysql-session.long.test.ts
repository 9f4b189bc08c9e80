import { readFileSync } from "node:fs";
import { expect } from "chai";
import mysql, { type Connection } from "mysql2/promise";
import { Verdict } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import type { PrivateMariadb } from "../support/mariadb.ts";
import { findServer } from "../support/mariadb-files.ts";
import { codeIn, tableRows } from "../support/markdown.ts";
import type { TestDatabase } from "../support/mysql-database.ts";
import { ownMariadb } from "../support/own-mariadb.ts";
import { rejection } from "../support/rejection.ts";
import { type RunningService, startService } from "../support/service.ts";
import { until } from "../support/until.ts";
import { entry, expiryContext, openTestStore, type TestStore } from "./open-test-store.ts";

type Settings = Readonly<Record<string, string>>;

const KIND = findServer()?.kind ?? "mariadb";

const PAGE = readFileSync(new URL("../../docs/session-variables.md", import.meta.url), "utf8");
const MARKS = { mysql: "¹", mariadb: "²" } as const;
/** Each variable that sessions set: its name, the value as the server shows it, and the servers on which it is set. */
const SET = tableRows(PAGE, ["variable", "value", "without it"]).map(([name = "", value]) => ({
  name: codeIn(name)[0] as string,
  value: codeIn(value)[0] ?? "",
  isForUs: name.includes(MARKS[KIND]) || !/[¹²]/.test(name),
}));
const OTHERS = [
  ...tableRows(PAGE, ["variable", "value", "because"]),
  ...tableRows(PAGE, ["variables", "because"]),
];

/** Settings that an operator may have chosen for other programs: on both kinds of server, and on each of them. */
const HOSTILE: Readonly<Record<string, Partial<Record<"both" | typeof KIND, Settings>>>> = {
  "truncates results": { both: { sql_select_limit: "100" } },
  "returns no rows": { both: { sql_select_limit: "0" } },
  "kills or refuses statements": {
    both: { max_join_size: "1", sql_safe_updates: "1" },
    mariadb: { max_statement_time: "0.001", tx_read_only: "1" },
    mysql: { max_execution_time: "1", transaction_read_only: "1" },
  },
  "chains transactions": {
    both: { autocommit: "0", completion_type: "'CHAIN'" },
    mariadb: { tx_isolation: "'SERIALIZABLE'" },
    mysql: { transaction_isolation: "'SERIALIZABLE'" },
  },
  "ends the session with a transaction": { both: { completion_type: "'RELEASE'" } },
  "creates other kinds of table": {
    both: {
      default_storage_engine: "MyISAM",
      foreign_key_checks: "0",
      innodb_strict_mode: "0",
      unique_checks: "0",
    },
    mariadb: { alter_algorithm: "INSTANT", check_constraint_checks: "0", sql_if_exists: "1" },
    mysql: { default_tmp_storage_engine: "MEMORY", explicit_defaults_for_timestamp: "0" },
  },
  "requires a primary key in every table": {
    mariadb: { innodb_force_primary_key: "1" },
    mysql: { sql_require_primary_key: "1" },
  },
  "adds keys to tables, or alters them differently": {
    mariadb: { innodb_strict_mode: "0" },
    mysql: {
      sql_generate_invisible_primary_key: "1",
      show_gipk_in_create_table_and_information_schema: "0",
      old_alter_table: "1",
    },
  },
  "parses SQL differently": {
    both: {
      collation_connection: "'ucs2_general_ci'",
      div_precision_increment: "0",
      group_concat_max_len: "4",
      lc_messages: "'ja_JP'",
      lc_time_names: "'de_DE'",
      sql_auto_is_null: "1",
      time_zone: "'+12:45'",
    },
    mariadb: {
      old_mode: "'ZERO_DATE_TIME_CAST,COMPAT_5_1_CHECKSUM,NO_PROGRESS_INFO'",
      sql_mode:
        "'ORACLE,ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION,EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL,HIGH_NOT_PRECEDENCE,MSSQL'",
    },
    mysql: {
      block_encryption_mode: "'aes-256-cbc'",
      sql_mode:
        "'ANSI,ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION,NO_AUTO_VALUE_ON_ZERO,IGNORE_SPACE,REAL_AS_FLOAT,ONLY_FULL_GROUP_BY,NO_DIR_IN_CREATE,TIME_TRUNCATE_FRACTIONAL,HIGH_NOT_PRECEDENCE'",
      windowing_use_high_precision: "0",
    },
  },
  "sorts and plans differently": {
    both: {
      big_tables: "1",
      join_buffer_size: "128",
      max_heap_table_size: "16384",
      max_length_for_sort_data: "4",
      max_sort_length: "64",
      optimizer_search_depth: "0",
      sort_buffer_size: "1024",
      sql_buffer_result: "1",
      tmp_table_size: "1024",
    },
    mariadb: {
      in_predicate_conversion_threshold: "2",
      join_cache_level: "0",
      optimizer_switch:
        "'derived_merge=off,materialization=off,semijoin=off,index_merge=off,rowid_filter=off'",
      optimizer_use_condition_selectivity: "1",
      query_cache_type: "ON",
      tmp_memory_table_size: "1024",
    },
    mysql: {
      eq_range_index_dive_limit: "1",
      internal_tmp_mem_storage_engine: "MEMORY",
      optimizer_prune_level: "0",
      optimizer_switch:
        "'derived_merge=off,materialization=off,semijoin=off,index_merge=off,skip_scan=off,subquery_to_derived=on,prefer_ordering_index=off,use_index_extensions=off,derived_condition_pushdown=off,hash_set_operations=off,block_nested_loop=off'",
      range_optimizer_max_mem_size: "1",
      secondary_engine_cost_threshold: "0",
      set_operations_buffer_size: "16384",
    },
  },
  "has short timeouts": {
    both: {
      innodb_lock_wait_timeout: "1",
      interactive_timeout: "1",
      lock_wait_timeout: "1",
      net_read_timeout: "1",
      net_retry_count: "1",
      net_write_timeout: "1",
    },
  },
  "changes warnings and metadata": {
    both: {
      max_error_count: "0",
      session_track_schema: "1",
      session_track_state_change: "1",
      session_track_system_variables: "'*'",
      session_track_transaction_info: "CHARACTERISTICS",
      sql_notes: "0",
      sql_warnings: "1",
    },
    mysql: {
      information_schema_stats_expiry: "0",
      profiling: "1",
      session_track_gtids: "ALL_GTIDS",
      xa_detach_on_prepare: "0",
    },
  },
};

const hostile = (what: string): Settings => ({ ...HOSTILE[what]?.both, ...HOSTILE[what]?.[KIND] });

describe("a session on MySQL", function () {
  this.timeout(120_000);
  let server: PrivateMariadb;
  let admin: Connection;
  let database: TestDatabase;
  let services: RunningService[];
  let stores: TestStore[];
  let altered: Set<string>;

  before(async function () {
    server = await ownMariadb(this, {
      binaryLog: true,
      extraArgs: [
        "--character-set-server=cp1251",
        ...(KIND === "mariadb"
          ? ["--query-cache-type=1", "--query-cache-size=1M", "--skip-character-set-client-handshake"]
          : []),
      ],
    });
  });

  after(async () => {
    await server?.stop();
  });

  beforeEach(async () => {
    admin = await mysql.createConnection(server.url());
    // The test's own session must not be affected by the global settings.
    await admin.query("SET SESSION sql_mode = '', sql_select_limit = 1000000");
    await admin.query(`SET SESSION ${KIND === "mysql" ? "max_execution_time" : "max_statement_time"} = 0`);
    database = await server.createDatabase();
    services = [];
    stores = [];
    altered = new Set();
  });

  afterEach(async () => {
    for (const service of services) await service.stop();
    for (const { store } of stores) await store.close();
    for (const name of altered) await admin.query(`SET GLOBAL ${name} = DEFAULT`);
    await database.drop();
    admin.destroy();
  });

  async function setForAll(settings: Settings): Promise<void> {
    for (const [name, value] of Object.entries(settings)) {
      altered.add(name);
      await admin.query(`SET GLOBAL ${name} = ${value}`);
    }
  }

  async function startWith(env: Record<string, string>, url = database.url): Promise<RunningService> {
    const service = await startService({ url, env });
    services.push(service);
    return service;
  }

  async function open(url = database.url): Promise<TestStore> {
    const store = await openTestStore(url);
    stores.push(store);
    return store;
  }

  const numbered = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${prefix}-${index}`);
  const inAnHour = () => ({ seconds: BigInt(Math.floor(Date.now() / 1000) + 3600) });

  async function revoke({ client }: RunningService, names: readonly string[]): Promise<number> {
    const { results } = await client.blacklist({
      tokens: names.map((name) => ({ token: { case: "jti", value: name }, expiresAt: inAnHour() })),
    });
    return results.length;
  }

  /** The number of positives among them; throws if one is unavailable. */
  async function revokedAmong({ client }: RunningService, names: readonly string[]): Promise<number> {
    const { verdicts } = await client.isBlacklisted({ jtis: [...names] });
    expect(verdicts).to.not.include(Verdict.UNKNOWN);
    return verdicts.filter((verdict) => verdict === Verdict.BLACKLISTED).length;
  }

  async function listed({ client }: RunningService): Promise<number> {
    const names = new Set<string>();
    for (let pageToken = ""; ; ) {
      const page = await client.list({ pageSize: 150, pageToken });
      for (const { jti } of page.tokens) names.add(jti);
      pageToken = page.nextPageToken;
      if (pageToken === "") return names.size;
    }
  }

  for (const what of Object.keys(HOSTILE)) {
    it(`has correct results if the server's default ${what}`, async () => {
      await setForAll(hostile(what));
      const direct = await startWith({ INDEX: "off" });
      const indexed = await startWith({ INDEX: "on" });
      const names = numbered("revoked", 300);
      expect(await revoke(direct, names)).to.equal(300);
      expect(await revokedAmong(direct, names)).to.equal(300);
      // This time nothing is new, and everything is read back.
      expect(await revoke(direct, names)).to.equal(300);
      await indexed.indexLoaded();
      const late = await startWith({ INDEX: "on" });
      await late.indexLoaded();
      const small = await startWith({ INDEX: "on", INDEX_MAX_ENTRIES: "50" });
      await until(() => small.logs().some(({ msg }) => String(msg).startsWith("the index is full")), {
        withinMs: 10_000,
        what: "the index is full",
      });
      // The changes of other replicas that the follower reads.
      await revoke(small, numbered("later", 300));
      const all = [...names, ...numbered("later", 300), ...numbered("good", 100)];
      for (const service of [direct, indexed, late, small])
        expect(await revokedAmong(service, all)).to.equal(600);
      expect(await listed(direct)).to.equal(600);

      const { engine } = await open();
      await engine.knex("blacklisted_tokens").update({ expires_at: 1000 }).where("jti", "like", "revoked%");
      const pruned = await direct.client.prune({ maxCount: 1000 });
      expect([pruned.prunedCount, pruned.hasMore]).to.deep.equal([300, false]);
      expect(await revokedAmong(direct, all)).to.equal(300);
      const [tables] = await admin.query(
        `SELECT DISTINCT engine AS engine FROM information_schema.tables WHERE table_schema = '${database.name}'`,
      );
      expect(tables).to.deep.equal([{ engine: "InnoDB" }]);
    });
  }

  /** The names of all variables that have a value per session. */
  async function sessionVariables(): Promise<string[]> {
    const [rows] = await admin.query({ sql: "SHOW SESSION VARIABLES", rowsAsArray: true });
    const names: string[] = [];
    for (const [name] of rows as unknown as [string][]) {
      const isOwn = await admin.query(`SELECT @@SESSION.${name}`).then(
        () => true,
        // 1238: the variable is global only.
        ({ errno }) => errno !== 1238,
      );
      if (isOwn) names.push(name);
    }
    return names;
  }

  it("has no undocumented variable of its own, and none twice", async () => {
    const documented = [...SET.map(({ name }) => name), ...OTHERS.flatMap(([names]) => codeIn(names))];
    expect(documented.filter((name, at) => documented.indexOf(name) !== at)).to.deep.equal([]);
    const names = await sessionVariables();
    expect(names).to.include.members(["sql_select_limit", "timestamp", "wait_timeout"]);
    expect(names.filter((name) => !documented.includes(name))).to.deep.equal([]);
  });

  it("begins with the documented values, for any purpose and any global values", async () => {
    for (const what of Object.keys(HOSTILE)) await setForAll(hostile(what));
    await setForAll({
      interactive_timeout: "1",
      wait_timeout: "1",
      ...(KIND === "mariadb" ? { wsrep_dirty_reads: "1", wsrep_sync_wait: "0" } : {}),
    });
    const { engine } = await open();
    const [pooled] = await engine.knex.raw("SHOW SESSION VARIABLES");
    const read = await engine.select("SHOW SESSION VARIABLES");
    const reader = engine.openReader();
    const executed = await reader.select("SHOW SESSION VARIABLES", []);
    reader.close();
    const names = await sessionVariables();
    const expected = SET.filter(({ name, isForUs }) => isForUs && names.includes(name)).map(
      ({ name, value }) => `${name} = ${value}`,
    );
    expect(expected.length).to.be.above(20);
    for (const rows of [pooled.map((row: object) => Object.values(row)), read, executed]) {
      const shown = new Map<string, string>(rows);
      expect(
        expected.map((line) => line.split(" ")[0] as string).map((name) => `${name} = ${shown.get(name)}`),
      ).to.deep.equal(expected);
    }
  });

  /** A user to whom the server's `init_connect` applies, unlike root. */
  async function ordinaryUser(privileges = ""): Promise<string> {
    await admin.query("DROP USER IF EXISTS service@'127.0.0.1'");
    await admin.query("CREATE USER service@'127.0.0.1'");
    await admin.query(`GRANT ALL ON ${database.name}.* TO service@'127.0.0.1'`);
    if (privileges !== "") await admin.query(`GRANT ${privileges} ON *.* TO service@'127.0.0.1'`);
    return Object.assign(new URL(database.url), { username: "service" }).href;
  }

  const BEGUN = [
    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    "SET autocommit = 0; SELECT COUNT(*) FROM mysql.user",
    "SET completion_type = CHAIN; START TRANSACTION READ ONLY",
    "SET sql_select_limit = 1; SET SESSION TRANSACTION READ ONLY; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    KIND === "mysql"
      ? "SET sql_mode = 'ANSI'; SET max_execution_time = 1, use_secondary_engine = FORCED; SET @clock = 1, @revision = 1, @dead = 9e15"
      : "SET sql_mode = 'ORACLE'; SET max_statement_time = 0.001; SET @clock = 1, @revision = 1, @dead = 9e15",
  ];
  for (const init of BEGUN) {
    it(`sees later commits if init_connect is ${init}`, async () => {
      const url = await ordinaryUser("SELECT");
      await open();
      await setForAll({ init_connect: `"${init}"` });
      const [direct, indexed] = [
        await startWith({ INDEX: "off" }, url),
        await startWith({ INDEX: "on" }, url),
      ];
      const names = numbered("revoked", 20);
      await indexed.indexLoaded();
      expect(await revokedAmong(direct, names)).to.equal(0);
      const other = await startWith({ INDEX: "off" });
      await revoke(other, names);
      for (const service of [direct, indexed]) expect(await revokedAmong(service, names)).to.equal(20);
      await revoke(direct, names);
      expect(await listed(direct)).to.equal(20);
    });
  }

  it("reads current rows if the server's default is the past of versioned tables (MariaDB only)", async function () {
    if (KIND === "mysql") return this.skip();
    const { store } = await open();
    for (const table of ["blacklisted_tokens", "blacklist_state", "blacklist_commits"])
      await admin.query(`ALTER TABLE ${database.name}.${table} ADD SYSTEM VERSIONING`);
    await store.write([entry("before")], expiryContext());
    const [[{ now }]] = (await admin.query("SELECT CAST(NOW(6) AS CHAR) AS now")) as unknown as [
      [{ now: string }],
    ];
    await store.write([entry("after")], expiryContext());
    await setForAll({ system_versioning_asof: `'${now}'` });
    const direct = await startWith({ INDEX: "off" });
    const indexed = await startWith({ INDEX: "on" });
    await indexed.indexLoaded();
    for (const service of [direct, indexed])
      expect(await revokedAmong(service, ["before", "after"])).to.equal(2);
  });

  it("refuses tables without transactions, with instructions", async () => {
    await open();
    await admin.query(`ALTER TABLE ${database.name}.blacklist_state ENGINE = MyISAM`);
    const error = await rejection(open());
    expect(error).to.have.property("name", "SchemaError");
    expect(String(error)).to.contain("ALTER TABLE blacklist_state ENGINE = InnoDB");
  });

  it("refuses a session whose commits are not replicated", async () => {
    await open();
    const url = await ordinaryUser(KIND === "mysql" ? "SESSION_VARIABLES_ADMIN" : "BINLOG ADMIN");
    await setForAll({ init_connect: "'SET sql_log_bin = 0'" });
    const error = await rejection(open(url));
    expect(error).to.have.property("reason", "STORE_UNAVAILABLE");
    expect(String((error as Error).cause)).to.contain("sql_log_bin is OFF");
  });
});
