import { once } from "node:events";
import { cpSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect } from "chai";
import { serveProcess } from "../support/service-process.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SERVICE = "tokenblacklist.v1.TokenBlacklist";
const TRACE = "a".repeat(32);
const SAMPLED = { metadata: { traceparent: `00-${TRACE}-${"b".repeat(16)}-01` } };

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string };
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly {
      readonly scope: { readonly name: string; readonly version: string };
      readonly spans: readonly { readonly name: string; readonly traceId: string }[];
    }[];
  }[];
}

/** Receives spans over OTLP as a collector does. */
async function startCollector() {
  const exports: Export[] = [];
  const server: Server = createServer(async (request, response) => {
    if (request.url === "/v1/traces") exports.push((await json(request)) as Export);
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** The received spans, by name. */
    spans: () =>
      exports.flatMap(({ resourceSpans }) =>
        resourceSpans.flatMap(({ resource, scopeSpans }) =>
          scopeSpans.flatMap(({ scope, spans }) =>
            spans.map(({ name, traceId }) => ({
              name,
              traceId,
              scope: `${scope.name} ${scope.version}`,
              service: resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue,
            })),
          ),
        ),
      ),
    async stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function read(path: string) {
  return JSON.parse(readFileSync(join(ROOT, path), "utf8"));
}

describe("the exporter of traces", () => {
  let telemetry: string;

  before(async () => {
    // In its own folder with its own packages, as documented: the service has another copy of the API.
    const folder = await freshFolder();
    telemetry = join(folder, "telemetry.mjs");
    cpSync(join(ROOT, "deploy/otel"), folder, { recursive: true });
    cpSync(join(ROOT, "node_modules/@opentelemetry"), join(folder, "node_modules/@opentelemetry"), {
      recursive: true,
    });
  });

  async function serve(env: Record<string, string>) {
    return serveProcess({
      DATABASE_URL: `sqlite:${join(await freshFolder(), "x.db")}`,
      INDEX: "off",
      NODE_OPTIONS: `--import=${pathToFileURL(telemetry)}`,
      ...env,
    });
  }

  it("sends the spans of every call, including the last ones", async () => {
    const collector = await startCollector();
    try {
      const { client, process } = await serve({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
      try {
        await client.isBlacklisted({ jtis: ["a"] }, SAMPLED);
        client.close();
        await process.signal("SIGTERM");
        expect((await process.ended).code).to.equal(0);
      } finally {
        await process.kill();
      }
      const common = {
        traceId: TRACE,
        scope: `token-blacklist ${read("package.json").version}`,
        service: "token-blacklist",
      };
      expect(collector.spans()).to.have.deep.members([
        { name: `${SERVICE}/IsBlacklisted`, ...common },
        { name: "wait for look-up", ...common },
        { name: "look up jtis", ...common },
      ]);
    } finally {
      await collector.stop();
    }
  });

  it("is configured by OpenTelemetry's variables", async () => {
    const collector = await startCollector();
    try {
      const { client, kill } = await serve({
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_SERVICE_NAME: "revocations",
        OTEL_BSP_SCHEDULE_DELAY: "10",
        OTEL_TRACES_SAMPLER: "parentbased_always_off",
      });
      try {
        await client.isBlacklisted({ jtis: ["a"] });
        await client.isBlacklisted({ jtis: ["a"] }, SAMPLED);
        await until(() => collector.spans().length > 0, { withinMs: 5000, what: "spans have come" });
        const [first] = collector.spans();
        expect([first?.service, first?.traceId]).to.deep.equal(["revocations", TRACE]);
      } finally {
        await kill();
      }
    } finally {
      await collector.stop();
    }
  });

  it("delays neither responses nor shutdown if no collector accepts the spans", async () => {
    const silent = createServer(() => {});
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { client, process } = await serve({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      SHUTDOWN_GRACE: "10s",
    });
    try {
      await client.isBlacklisted({ jtis: ["a"] });
      client.close();
      const began = performance.now();
      await process.signal("SIGTERM");
      expect((await process.ended).code).to.equal(0);
      expect(performance.now() - began).to.be.below(10_000);
    } finally {
      await process.kill();
      silent.close();
      silent.closeAllConnections();
    }
  });

  it("states the tested versions, and uses the same API as the service", () => {
    const { dependencies } = read("deploy/otel/package.json");
    const ours = read("package.json");
    const { "@opentelemetry/api": api, ...sdk } = dependencies;
    const tried = Object.entries(ours.devDependencies).filter(([name]) => name.startsWith("@opentelemetry/"));
    expect(sdk).to.deep.equal(Object.fromEntries(tried));
    expect(`~${api}`).to.equal(ours.dependencies["@opentelemetry/api"]);
  });
});
