import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** From the bottom up: each may import itself and those before it. Files in no list are leaves. */
const LAYERS = [
  "leaves",
  "token-index",
  "store",
  "auth",
  "config",
  "blacklist",
  "metrics",
  "tracing",
  "transport",
  "roots",
  "client",
  "cli",
  "main",
];

function layerOf(file: string): string {
  const [, folder] = /^src\/([^/]+)\//.exec(file) ?? [];
  if (folder === "grpc" || folder === "admin" || folder === "authz") return "transport";
  if (folder === "start") return "roots";
  // It describes the settings and parses the store's address, without using a database.
  if (file === "src/logging/logger.ts") return "config";
  if (folder !== undefined) return LAYERS.includes(folder) ? folder : "leaves";
  return file === "src/main.ts" ? "main" : "leaves";
}

const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
  .map((name) => join("src", name));
const texts = new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));

/** The imports of a file: paths from the root for ours, names for packages. */
function importsOf(file: string): string[] {
  const found = texts
    .get(file)
    ?.matchAll(
      /^\s*(?:(?:import|export)\b[^"';]*?\bfrom\s*|import\s*)["']([^"']+)["'];|\bimport\(\s*["']([^"']+)["']/gm,
    );
  return [...(found ?? [])].map(([, plain, dynamic]) => {
    const name = (plain ?? dynamic) as string;
    return name.startsWith(".") ? relative(ROOT, join(ROOT, dirname(file), name)) : name;
  });
}

const imports = files.flatMap((file) => importsOf(file).map((imported) => ({ file, imported })));

/** The imports, as `from -> to`, that break a rule. */
const breaking = (rule: (file: string, imported: string) => boolean) =>
  imports
    .filter(({ file, imported }) => rule(file, imported))
    .map(({ file, imported }) => `${file} -> ${imported}`);

describe("the architecture", () => {
  it("covers every file and every import", () => {
    expect(files.filter((file) => !LAYERS.includes(layerOf(file)))).to.deep.equal([]);
    expect(imports.length).to.be.greaterThan(100);
    expect(
      breaking((_, imported) => imported.startsWith("src/") && !existsSync(join(ROOT, imported))),
    ).to.deep.equal([]);
  });

  it("only imports from lower layers", () => {
    const rank = (file: string) => LAYERS.indexOf(layerOf(file));
    expect(
      breaking((file, imported) => imported.startsWith("src/") && rank(imported) > rank(file)),
    ).to.deep.equal([]);
  });

  it("lets the domain and the transport import only the store's interface", () => {
    const inner = ["blacklist", "transport"];
    const isStore = (name: string) => name.startsWith("src/store/") && name !== "src/store/store.ts";
    expect(breaking((file, imported) => inner.includes(layerOf(file)) && isStore(imported))).to.deep.equal(
      [],
    );
  });

  it("keeps the server's internals out of clients and commands", () => {
    const inside = [
      "src/store/",
      "src/blacklist/",
      "src/grpc/server.ts",
      "src/grpc/handlers.ts",
      "src/admin/",
    ];
    const outside = ["client", "cli"];
    expect(
      breaking(
        (file, name) => outside.includes(layerOf(file)) && inside.some((path) => name.startsWith(path)),
      ),
    ).to.deep.equal([]);
  });

  it("uses Knex by its main entry alone", () => {
    expect(breaking((_, imported) => imported.startsWith("knex/"))).to.deep.equal([]);
    const privately = /\b_query\b|__knex|\b_driver\b/;
    expect([...texts].flatMap(([file, source]) => (privately.test(source) ? [file] : []))).to.deep.equal([]);
  });

  it("matches no text of its own errors: what programs act on is a field", () => {
    // These read what other programs say, which have no field for it: grpc-js, libsql and Commander.
    const foreign = [
      "src/cli/errors.ts",
      "src/cli/hints.ts",
      "src/client/grpc-error.ts",
      "src/store/sqlite-engine.ts",
    ];
    const matching =
      /\b(message|description|detail|problem)\b\)*\??\.(startsWith|includes|endsWith|match|search)\(|\.(test|exec)\([^;\n]*\b(message|description|detail)\b|\b(message|description) [!=]== (?!undefined\b)/;
    const found = [...texts].filter(([file, source]) => !foreign.includes(file) && matching.test(source));
    expect(found.map(([file, source]) => `${file}: ${matching.exec(source)?.[0]}`)).to.deep.equal([]);
  });

  it("compares no errors with one another", () => {
    const identity = /\b(?:error|cause|reason) [!=]== (?!undefined\b|null\b|")\w|[!=]== (?:error|cause)\b/;
    const found = [...texts].filter(([, source]) => identity.test(source));
    expect(found.map(([file, source]) => `${file}: ${identity.exec(source)?.[0]}`)).to.deep.equal([]);
  });

  it("uses gRPC only in the transport, the client, the commands and what they share", () => {
    const allowed = /^src\/(protobuf|grpc|client|cli)\//;
    const isGrpc = (name: string) => /^(@grpc\/|grpc-|@bufbuild\/|gen\/)/.test(name);
    expect(breaking((file, imported) => isGrpc(imported) && !allowed.test(file))).to.deep.equal([]);
  });

  it("uses the metrics library only in the metrics, and the metrics only in the transport and the composition roots", () => {
    const isLibrary = (name: string) => name === "prom-client";
    expect(breaking((file, imported) => isLibrary(imported) && layerOf(file) !== "metrics")).to.deep.equal(
      [],
    );
    const allowed = ["metrics", "transport", "roots"];
    const isMetrics = (name: string) => name.startsWith("src/metrics/");
    expect(breaking((file, name) => isMetrics(name) && !allowed.includes(layerOf(file)))).to.deep.equal([]);
  });

  it("uses only OpenTelemetry's API, only in the tracing, and the tracing only in the transport and the composition roots", () => {
    const isLibrary = (name: string) => name.startsWith("@opentelemetry/");
    const isRight = (file: string, name: string) =>
      layerOf(file) === "tracing" && name === "@opentelemetry/api";
    expect(breaking((file, name) => isLibrary(name) && !isRight(file, name))).to.deep.equal([]);
    const allowed = ["tracing", "transport", "roots"];
    const isTracing = (name: string) => name.startsWith("src/tracing/");
    expect(breaking((file, name) => isTracing(name) && !allowed.includes(layerOf(file)))).to.deep.equal([]);
  });

  it("uses database drivers only in the store", () => {
    const isDatabase = (name: string) => /^(knex|mysql2|libsql)(\/|$)/.test(name);
    expect(breaking((file, imported) => isDatabase(imported) && layerOf(file) !== "store")).to.deep.equal([]);
  });

  it("uses the process only in main.ts", () => {
    const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
    const touching = files.filter((file) => /\bprocess\s*[.[]/.test(code(texts.get(file) as string)));
    expect(touching).to.deep.equal(["src/main.ts"]);
    expect(breaking((_, imported) => /^(node:)?process$/.test(imported))).to.deep.equal([]);
  });

  it("ships a client library that depends only on gRPC, protobuf and Node.js, and on no part of the server", () => {
    const reached = new Set<string>();
    const walk = (file: string) => {
      if (reached.has(file)) return;
      reached.add(file);
      for (const imported of importsOf(file)) walk(imported);
    };
    walk("src/client/connect.ts");
    const allowed =
      /^(src\/(client|connections|protobuf|text|time|token-index)\/|src\/[^/]+\.ts$|gen\/|node:|@grpc\/grpc-js$|@bufbuild\/protobuf(\/|$))/;
    expect([...reached].filter((name) => !allowed.test(name))).to.deep.equal([]);
    const ours = [...reached].filter((name) => name.startsWith("src/"));
    expect(ours.filter((name) => !["client", "token-index", "leaves"].includes(layerOf(name)))).to.deep.equal(
      [],
    );
    expect(ours).to.include("src/client/rpc-client.ts");
  });

  it("has no import cycle", () => {
    const cycles: string[] = [];
    const done = new Set<string>();
    function visit(file: string, path: readonly string[]): void {
      if (path.includes(file)) cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
      else if (!done.has(file)) {
        for (const imported of importsOf(file)) if (texts.has(imported)) visit(imported, [...path, file]);
        done.add(file);
      }
    }
    for (const file of files) visit(file, []);
    expect(cycles).to.deep.equal([]);
  });
});
