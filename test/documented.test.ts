import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import type { Command } from "commander";
import { after, before, describe, it } from "mocha";
import { parse } from "yaml";
import { Authorization } from "../gen/envoy/service/auth/v3/external_auth_pb.js";
import { TokenBlacklist } from "../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ROLES, type Role } from "../src/caller.ts";
import { createProgram } from "../src/cli/program.ts";
import { readConfig } from "../src/config/config.ts";
import type { HostPort } from "../src/connections/host-port.ts";
import { AUTHORIZATION_RULES, TOKEN_BLACKLIST_RULES } from "../src/grpc/methods.ts";
import * as limits from "../src/limits.ts";
import { systemClock } from "../src/time/clock.ts";
import { backends, type FreshDatabase } from "./support/backends.ts";
import { createAuthority } from "./support/certificates.ts";
import { codeIn, pages, tableRows } from "./support/markdown.ts";
import { recordSpans } from "./support/recorded-spans.ts";
import { type ScrapedMetric, scrape } from "./support/scrape.ts";
import { type RunningService, startService } from "./support/service.ts";
import { freshFolder } from "./support/shared.ts";

// Compares the documentation with the program in both directions, so that neither can change alone.

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const operations = read("docs/operations.md");
const ALERTS = "deploy/prometheus/alerts.yaml";
const DASHBOARD = "deploy/grafana/token-blacklist.json";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

const rules = (parse(read(ALERTS)) as { groups: { rules: Rule[] }[] }).groups.flatMap((group) => group.rules);
const { panels, templating } = JSON.parse(read(DASHBOARD)) as {
  panels: Panel[];
  templating: { list: { query: string | { query: string } }[] };
};
const variables = templating.list.map(({ query }) => (typeof query === "string" ? query : query.query));
const shown = [...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)), ...variables];

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function sorted(names: Iterable<string>): string[] {
  return [...new Set(names)].sort();
}

describe("the documented metrics", () => {
  let database: FreshDatabase;
  let running: RunningService;
  let metrics: Map<string, ScrapedMetric>;

  before(async () => {
    database = (await backends[0]?.create()) as FreshDatabase;
    // With every metric, and after a scheduled prune run, before which some are absent.
    running = await startService({
      url: database.url,
      env: { INDEX: "on", EXT_AUTHZ: "on", PRUNE_INTERVAL: "1s", QUOTA_ROWS: "1000", ...(await tlsFiles()) },
    });
    while (!running.logs().some(({ msg }) => msg === "pruned expired entries"))
      await scrape(running.adminUrl);
    metrics = await scrape(running.adminUrl);
  });
  after(async () => {
    await running?.stop();
    await database?.dispose();
  });

  async function tlsFiles(): Promise<Record<string, string>> {
    const folder = await freshFolder();
    const authority = await createAuthority();
    const { certificate, key } = await authority.issue([{ type: "dns", value: "localhost" }]);
    const texts = {
      TLS_CERT_FILE: certificate,
      TLS_KEY_FILE: key,
      TLS_CLIENT_CA_FILE: authority.certificate,
      TLS_CLIENT_CRL_FILE: await authority.revoke([]),
      TLS_CLIENT_ROLES_FILE: "DNS:somebody.test=check",
    };
    const files: Record<string, string> = {};
    for (const [name, text] of Object.entries(texts)) {
      files[name] = join(folder, name);
      writeFileSync(join(folder, name), text);
    }
    return files;
  }

  const isOurs = (name: string) => !/^(process|nodejs)_/.test(name);

  /** The metrics or series named in a text. */
  function named(text: string): string[] {
    return [...text.matchAll(/\b(?:tokenblacklist|grpc_server|nodejs|process)_[a-z0-9_]+\b/g)].map(
      ([name]) => name,
    );
  }

  function unknown(names: Iterable<string>): string[] {
    const series = new Set([...metrics.values()].flatMap((metric) => metric.series.map(({ name }) => name)));
    const exists = (name: string) =>
      metrics.has(name) ||
      series.has(name) ||
      // `tokenblacklist_index_*`
      (name.endsWith("_") && [...metrics.keys()].some((one) => one.startsWith(name)));
    return sorted(names).filter((name) => !exists(name));
  }

  it("are exactly those of a scrape, with their types and labels", () => {
    const documented = tableRows(operations, ["Metric", "Type", "Labels"])
      .map(([name, type, labels]) => ({ name: codeIn(name)[0] ?? "", type, labels: codeIn(labels) }))
      .filter(({ name }) => isOurs(name));
    const scraped = [...metrics].filter(([name]) => isOurs(name));
    expect(documented.sort(byName)).to.deep.equal(
      scraped
        .map(([name, { type, series }]) => ({
          name,
          type,
          labels: Object.keys(series[0]?.labels ?? {}).filter((label) => label !== "le"),
        }))
        .sort(byName),
    );
    expect(documented.length).to.be.above(30);
  });

  it("follow Prometheus's conventions: base units, suffixes, help texts", () => {
    const wrong = [...metrics]
      .filter(([name]) => isOurs(name))
      .filter(
        ([name, { type, help }]) =>
          (type === "counter") !== name.endsWith("_total") ||
          /_(ms|millis|milliseconds|kb|mb|percent)(_|$)/.test(name) ||
          help.length < 20 ||
          !/[.]$/.test(help),
      );
    expect(wrong.map(([name]) => name)).to.deep.equal([]);
  });

  it("exist wherever a page, an alert or the dashboard uses them", () => {
    for (const { path, text } of pages()) expect(unknown(named(text)), path).to.deep.equal([]);
    for (const { alert, expr } of rules) expect(unknown(named(expr)), alert).to.deep.equal([]);
    for (const expr of shown) expect(unknown(named(expr)), expr).to.deep.equal([]);
    expect(unknown(named(read("deploy/prometheus/alerts.test.yaml")))).to.deep.equal([]);
  });

  it("are selected by existing labels and values", () => {
    const values = new Map<string, Set<string>>();
    for (const { series } of metrics.values()) {
      for (const { labels } of series) {
        for (const [name, value] of Object.entries(labels)) {
          values.set(name, (values.get(name) ?? new Set()).add(value));
        }
      }
    }
    const wrong: string[] = [];
    let matchers = 0;
    for (const expr of [...rules.map((rule) => rule.expr), ...shown]) {
      for (const [matcher, label = "", operator = "", wanted = ""] of expr.matchAll(
        /(\w+)(=~|!~|!=|=)"([^"]*)"/g,
      )) {
        if (label === "job" || label === "instance") continue;
        matchers++;
        const known = [...(values.get(label) ?? [])];
        // Each alternative separately, because a mistyped one would not be noticed.
        const alternatives = operator.includes("~") ? wanted.split("|") : [wanted];
        const exists = (one: string) => known.some((value) => new RegExp(`^(?:${one})$`).test(value));
        if (!alternatives.every(exists)) wrong.push(matcher);
      }
    }
    expect(wrong).to.deep.equal([]);
    expect(matchers).to.be.above(20);
  });

  it("are all on the dashboard", () => {
    const drawn = new Set(shown.flatMap(named).map((name) => name.replace(/_(bucket|sum|count)$/, "")));
    const histograms = [...metrics].filter(([, { type }]) => type === "histogram").map(([name]) => name);
    expect(histograms.filter(isOurs)).to.include("tokenblacklist_commit_seconds");
    expect([...metrics.keys()].filter((name) => isOurs(name) && !drawn.has(name))).to.deep.equal([]);
  });
});

describe("the documented alerts", () => {
  it("have exactly one runbook each, of the same name", () => {
    for (const { alert, annotations } of rules) {
      const file = alert.replace("TokenBlacklist", "").replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`);
      expect(annotations.runbook, alert).to.equal(`docs/runbooks/${file.toLowerCase()}.md`);
      expect(existsSync(join(ROOT, annotations.runbook)), annotations.runbook).to.equal(true);
      const text = read(annotations.runbook);
      expect(text.split("\n")[0]).to.equal(`# ${alert}`);
      const parts = [...text.matchAll(/^\*\*(.+?)\.\*\*/gm)].map(([, part]) => part);
      expect(parts, alert).to.deep.equal([
        "What it means",
        "What callers see",
        "What to look at",
        "What to do",
      ]);
    }
    const files = readdirSync(join(ROOT, "docs/runbooks")).filter((name) => name !== "README.md");
    expect(files.map((name) => `docs/runbooks/${name}`).sort()).to.deep.equal(
      rules.map(({ annotations }) => annotations.runbook).sort(),
    );
  });

  it("are listed with their severity, and exist wherever a runbook mentions them", () => {
    const listed = tableRows(read("docs/runbooks/README.md"), ["Alert", "Severity"]).map(
      ([alert, severity]) => [codeIn(alert)[0], severity],
    );
    const severities = (
      parse(read(ALERTS)) as { groups: { rules: { alert: string; labels: { severity: string } }[] }[] }
    ).groups
      .flatMap((group) => group.rules)
      .map(({ alert, labels }) => [alert, labels.severity]);
    expect(listed.sort()).to.deep.equal(severities.sort());
    const known = new Set(rules.map(({ alert }) => alert));
    for (const { path, text } of pages().filter((page) => page.path.startsWith("docs/runbooks/"))) {
      const mentioned = [...text.matchAll(/\bTokenBlacklist[A-Z]\w+/g)].map(([name]) => name);
      expect(
        mentioned.filter((name) => !known.has(name)),
        path,
      ).to.deep.equal([]);
    }
  });
});

describe("the documented bounds of memory per unauthenticated peer", () => {
  const UNITS: Readonly<Record<string, number>> = {
    "": 1,
    ms: 1,
    s: 1000,
    min: 60_000,
    KiB: 1024,
    MiB: 1024 * 1024,
  };

  it("equal those in the code", () => {
    const rows = tableRows(read("docs/security.md"), ["Port, stage", "Bound", "For how long"]);
    const said = rows.flatMap(([, , , , constants = ""]) =>
      [...constants.matchAll(/`(\w+)` ([\d,]+)(?: (\w+))?/g)].map(([, name = "", number = "", unit = ""]) => [
        name,
        Number(number.replaceAll(",", "")) * (UNITS[unit] ?? Number.NaN),
      ]),
    );
    const bounds = limits as Readonly<Record<string, unknown>>;
    expect(said).to.deep.equal(said.map(([name = ""]) => [name, bounds[name]]));
    expect(said.length).to.be.above(30);
  });
});

describe("the documented rules of methods", () => {
  const methods = [...TokenBlacklist.methods, ...Authorization.methods].map(({ name, localName }) => ({
    name,
    rules: { ...TOKEN_BLACKLIST_RULES, ...AUTHORIZATION_RULES }[
      localName as keyof typeof TOKEN_BLACKLIST_RULES
    ],
  }));
  const security = read("docs/security.md");

  it("give each role the methods that it allows", () => {
    const rows = tableRows(security, ["Role", "Calls", "For"]);
    const documented = rows.map(([role, calls]) => ({
      role: codeIn(role)[0],
      methods: sorted(codeIn(calls).filter((code) => !code.includes("="))),
    }));
    const methodsOf = (role: Role) =>
      sorted(methods.flatMap(({ name, rules }) => (rules.role === role ? [name] : [])));
    expect(documented).to.deep.equal(ROLES.map((role) => ({ role, methods: methodsOf(role) })));
  });

  it("name the methods that are audited", () => {
    const [, sentence] = /^Every (.+?) writes lines with `"msg":"audit"`/m.exec(security) ?? [];
    const audited = methods.filter(
      ({ rules }) => "describeForAudit" in rules && rules.describeForAudit !== undefined,
    );
    expect(codeIn(sentence)).to.deep.equal(audited.map(({ name }) => name));
  });
});

describe("the documented settings", () => {
  /** Every variable that the configuration reads. */
  function settings(): string[] {
    const asked = new Set<string>();
    const env = new Proxy<Record<string, string>>(
      {},
      {
        get(_, name) {
          if (typeof name === "string") asked.add(name);
          return undefined;
        },
      },
    );
    readConfig(env);
    // `NAME_FILE` is an alternative for every `NAME`.
    return sorted(
      [...asked].filter((name) => !asked.has(name.replace(/_FILE$/, "")) || !name.endsWith("_FILE")),
    );
  }

  it("are exactly those that the configuration reads", () => {
    const rows = tableRows(operations, ["Variable", "Default"]);
    expect(sorted(rows.flatMap(([names]) => codeIn(names)))).to.deep.equal(settings());
  });

  it("exist wherever a page sets them", () => {
    const known = new Set(settings());
    const isKnown = (name: string) => known.has(name) || known.has(name.replace(/_FILE$/, ""));
    const others =
      /^(TOKEN_BLACKLIST_\w+|TEST_\w+|UPGRADE_FROM|PATH|NODE(_\w+)?|OTEL_\w+|NAME|ARGS|ONLY|TZ|CI)$/;
    const wrong: string[] = [];
    let found = 0;
    for (const { path, text } of pages()) {
      if (path.startsWith("examples/")) continue;
      for (const [, name = ""] of text.matchAll(
        /(?:`|^\s*(?:\$ )?(?:export )?|\s-e )([A-Z][A-Z_]{2,})=[^\s>]/gm,
      )) {
        found++;
        if (!isKnown(name) && !others.test(name)) wrong.push(`${path}: ${name}`);
      }
    }
    expect(wrong).to.deep.equal([]);
    expect(found).to.be.above(20);
  });
});

describe("the documented spans", () => {
  const stops: (() => unknown)[] = [];
  after(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  it("are exactly those that a traced service creates, with their attributes", async () => {
    const recorded = recordSpans();
    stops.push(() => recorded.stop());
    const made = new Map<string, Set<string>>();
    const url = "mysql://root@127.0.0.1:1/away";
    const authz = { AUTHZ_ADDRESS: "127.0.0.1:0", AUTHZ_JTI_HEADER: "X-Token-Id" };
    for (const [index, options] of [
      ["on", { migrated: true }],
      ["off", { migrated: true }],
      ["on", { url, migrated: false }],
    ] as const) {
      const database = (await backends[0]?.create()) as FreshDatabase;
      stops.push(() => database.dispose());
      const running = await startService({
        url: database.url,
        env: { INDEX: index, ...authz },
        ...options,
      });
      stops.push(() => running.stop());
      if (index === "on" && options.migrated) await running.indexLoaded();
      const asked = () => running.client.isBlacklisted({ jtis: ["a"] });
      const tokens = [
        { token: { case: "jti" as const, value: "b" }, expiresAt: { seconds: 4_102_444_800n } },
      ];
      await Promise.allSettled([asked(), running.client.blacklist({ tokens })]);
      const { port } = running.service.authzAddress as HostPort;
      await fetch(`http://127.0.0.1:${port}/authz`, { headers: { "X-Token-Id": "a" } });
    }
    for (const { name, attributes } of recorded.take()) {
      const names = made.get(name) ?? new Set();
      for (const attribute of Object.keys(attributes)) names.add(attribute);
      made.set(name, names);
    }
    // The first method stands for all.
    made.delete("tokenblacklist.v1.TokenBlacklist/Blacklist");
    const rows = tableRows(operations, ["Span", "Stands for", "Attributes"]);
    const documented = rows.map(([name, , attributes]) => ({
      name: codeIn(name)[0] as string,
      attributes: sorted(codeIn(attributes).filter((code) => code.includes("."))),
    }));
    expect(documented.sort(byName)).to.deep.equal(
      [...made]
        .map(([name, names]) => ({
          name,
          // It is documented for all at once.
          attributes: sorted([...names].filter((attribute) => attribute !== "error.type")),
        }))
        .sort(byName),
    );
  });
});

describe("the documented commands", () => {
  const screen = new Writable();
  const program = createProgram({
    io: {
      ...{
        stdin: Readable.from([]),
        stdout: screen,
        stderr: screen,
        env: {},
        version: "0",
        clock: systemClock,
      },
      signal: new AbortController().signal,
      serve: async () => 0,
      migrate: async () => 0,
    },
    exit() {},
  });
  const commands = new Map<string, Command>(program.commands.map((command) => [command.name(), command]));
  const operators = [...commands.values()].filter(({ options }) =>
    options.some(({ long }) => long === "--address"),
  );

  it("have exactly the documented options", () => {
    const taken = [...commands.values()].flatMap((command) =>
      command.options.map(({ long }) => `${command.name()} ${long}`),
    );
    const flagsIn = (cell = "") => codeIn(cell).map((code) => code.replace(/ .*/, ""));
    const common = tableRows(operations, ["Option", "Variable"]).flatMap(([flags]) =>
      operators.flatMap((command) => flagsIn(flags).map((flag) => `${command.name()} ${flag}`)),
    );
    const own = tableRows(operations, ["Option", "Commands"]).flatMap(([flags, names]) =>
      codeIn(names).flatMap((name) => flagsIn(flags).map((flag) => `${name} ${flag}`)),
    );
    expect([...common, ...own].sort()).to.deep.equal(taken.sort());
  });

  it("read exactly the documented variables", () => {
    const described = operators.flatMap(({ options }) => options.map(({ description }) => description));
    const read = described.flatMap((text) => text.match(/TOKEN_BLACKLIST_\w+/g) ?? []);
    const rows = tableRows(operations, ["Option", "Variable"]);
    const documented = rows.flatMap(([, cell]) => codeIn(cell)).map((name) => name.replace(/=.*/, ""));
    expect(sorted(documented)).to.deep.equal(sorted(read));
    for (const { path, text } of pages()) {
      const mentioned = text.match(/\bTOKEN_BLACKLIST_[A-Z_]+/g) ?? [];
      expect(
        sorted(mentioned).filter((name) => !read.includes(name)),
        path,
      ).to.deep.equal([]);
    }
  });

  it("have every option that a page uses", () => {
    const wrong: string[] = [];
    let shownCommands = 0;
    for (const { path, text } of pages()) {
      const lines = text.matchAll(
        /(?:dist\/main\.js|token-blacklist) ([a-z]+)((?: (?:--?[a-z-]+|<[^>`]*>|[^\s`|;&#]+))*)/g,
      );
      for (const [line, name = "", rest = ""] of lines) {
        const command = commands.get(name);
        const flags = [...rest.matchAll(/ (--[a-z-]+)/g)].map(([, flag]) => flag);
        if (command === undefined) {
          if (flags.length > 0) wrong.push(`${path}: ${line}`);
          continue;
        }
        shownCommands++;
        const takes = (flag: string | undefined) => command.options.some(({ long }) => long === flag);
        if (!flags.every(takes)) wrong.push(`${path}: ${line}`);
      }
    }
    expect(wrong).to.deep.equal([]);
    expect(shownCommands).to.be.above(10);
  });
});

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}
