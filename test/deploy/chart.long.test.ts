import { execFile } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Ajv } from "ajv";
import { expect } from "chai";
import type { Deployment } from "kubernetes-types/apps/v1.js";
import type { Job } from "kubernetes-types/batch/v1.js";
import type { Container, PodSpec, Volume } from "kubernetes-types/core/v1.js";
import type { NetworkPolicy } from "kubernetes-types/networking/v1.js";
import { parse } from "yaml";
import { type Config, readConfig } from "../../src/config/config.ts";
import { createAuthority } from "../support/certificates.ts";
import { freshFolder } from "../support/shared.ts";
import { CHART, chartRenderer, type Manifest, type Render } from "./render-chart.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The minimum values. */
const LEAST = {
  database: { secret: "blacklist-database" },
  tls: { secret: "blacklist-tls" },
  auth: { jwksUrl: "https://id.test/keys", issuer: "https://id.test", audience: "token-blacklist" },
};
/** All values at once. */
const ALL = {
  ...LEAST,
  image: { repository: "registry.test/token-blacklist", tag: "1.2.3", pullPolicy: "Always" },
  imagePullSecrets: [{ name: "pull" }],
  replicas: 5,
  database: {
    secret: "blacklist-database",
    key: "service-url",
    migrationSecret: "blacklist-migration",
    caConfigMap: "database-ca",
    port: 4000,
  },
  tls: {
    secret: "blacklist-tls",
    clientCaConfigMap: "client-ca",
    clientRolesKey: "roles",
    clientCrlKey: "crl.pem",
  },
  auth: { jwksConfigMap: "keys", issuer: "https://id.test", audience: "token-blacklist" },
  settings: { expiryLeeway: "10m", pruneInterval: "2h", pruneRetention: "30d", logLevel: "debug" },
  shutdownGraceSeconds: 60,
  preStopSeconds: 0,
  extraEnv: [
    { name: "QUOTA_ROWS", value: "1000" },
    { name: "MAX_TOKEN_LIFETIME", value: "30d" },
  ],
  podAnnotations: { "example.test/team": "identity" },
  nodeSelector: { "kubernetes.io/os": "linux" },
  tolerations: [{ key: "dedicated", operator: "Exists" }],
  affinity: { nodeAffinity: {} },
  priorityClassName: "high",
  networkPolicy: { clients: [{ namespaceSelector: { matchLabels: { team: "gateways" } } }] },
  serviceMonitor: { enabled: true, labels: { release: "prometheus" } },
};

describe("the Helm chart", function () {
  this.timeout(60_000);
  let render: Render;

  before(function () {
    render = chartRenderer(this);
  });

  const find = <T>(manifests: readonly Manifest[], kind: string): T => {
    const found = manifests.filter((manifest) => manifest.kind === kind);
    expect(found, kind).to.have.length(1);
    return found[0] as T;
  };
  const podsOf = (manifests: readonly Manifest[]): PodSpec[] =>
    [find<Deployment>(manifests, "Deployment"), find<Job>(manifests, "Job")].map(
      ({ spec }) => spec?.template.spec as PodSpec,
    );
  const containerOf = ({ containers }: PodSpec) => containers[0] as Container;

  it("renders valid Kubernetes objects with all required fields", async () => {
    const folder = join(ROOT, "node_modules/.cache/chart-test");
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    try {
      const lines: string[] = [];
      for (const manifest of [LEAST, ALL].flatMap(render)) {
        if (manifest.kind === "ServiceMonitor") continue;
        const group = manifest.apiVersion.replace(/^v1$/, "core/v1").replace(/\.[^/]*/, "");
        const type = `import("kubernetes-types/${group}.js").${manifest.kind}`;
        lines.push(`void (${JSON.stringify(manifest)} satisfies ${type});`);
      }
      await writeFile(join(folder, "manifests.ts"), lines.join("\n"));
      const config = { compilerOptions: { strict: true, noEmit: true, module: "nodenext", types: [] } };
      await writeFile(join(folder, "tsconfig.json"), JSON.stringify(config));
      const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
      const complaints = await promisify(execFile)(process.execPath, [compiler, "-p", folder]).then(
        () => "",
        ({ stdout }: { stdout: string }) => stdout,
      );
      expect(lines).to.have.length(12);
      expect(complaints).to.equal("");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("renders the expected objects with default values, and with everything enabled", () => {
    const names = (values: object) => render(values).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    const always = [
      "Deployment trial",
      "Job trial-migrate",
      "NetworkPolicy trial",
      "PodDisruptionBudget trial",
      "Service trial",
      "Service trial-headless",
    ];
    expect(names(LEAST)).to.have.members(always);
    expect(names(ALL)).to.have.members([...always, "ServiceMonitor trial"]);
    expect(
      names({
        ...LEAST,
        migration: { enabled: false },
        podDisruptionBudget: { enabled: false },
        networkPolicy: { enabled: false },
      }),
    ).to.have.members(["Deployment trial", "Service trial", "Service trial-headless"]);
  });

  it("drops the privileges that its pods do not need", () => {
    for (const pod of [LEAST, ALL].map(render).flatMap(podsOf)) {
      const { automountServiceAccountToken, securityContext } = pod;
      expect({
        automountServiceAccountToken,
        securityContext,
        container: containerOf(pod).securityContext,
      }).to.deep.equal({
        automountServiceAccountToken: false,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 65_532,
          runAsGroup: 65_532,
          fsGroup: 65_532,
          seccompProfile: { type: "RuntimeDefault" },
        },
        container: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        },
      });
    }
  });

  it("gives a pod more time to terminate than the service takes", () => {
    for (const values of [LEAST, ALL]) {
      const [pod] = podsOf(render(values)) as [PodSpec, PodSpec];
      const variables = containerOf(pod).env ?? [];
      const grace = Number.parseInt(variables.find(({ name }) => name === "SHUTDOWN_GRACE")?.value ?? "", 10);
      const pause = /(\d+)\)$/.exec(containerOf(pod).lifecycle?.preStop?.exec?.command?.at(-1) ?? "")?.[1];
      const needed = grace + Number(pause ?? 0) / 1000;
      expect(pod.terminationGracePeriodSeconds).to.equal(needed + 5);
    }
  });

  /** The service's configuration in its container, with all files present. */
  async function configured(pod: PodSpec): Promise<Config> {
    const folder = await freshFolder();
    const authority = await createAuthority();
    const own = await authority.issue([{ type: "dns", value: "token-blacklist" }]);
    const volumes = new Map((pod.volumes ?? []).map((volume) => [volume.name, volume]));
    for (const { name, mountPath } of containerOf(pod).volumeMounts ?? []) {
      await mkdir(join(folder, mountPath), { recursive: true });
      const volume = volumes.get(name);
      expect(volume, `volume ${name}`).to.not.equal(undefined);
      volumes.delete(name);
      for (const file of filesIn(volume as Volume)) {
        const texts: Readonly<Record<string, string>> = {
          url: "mysql://user:secret@db.test/blacklist",
          "tls.crt": own.certificate,
          "tls.key": own.key,
          "crl.pem": await authority.revoke([]),
          roles: "DNS:operator.test=check,revoke URI:spiffe://test/gateway=check",
        };
        const text = texts[file] ?? (/\bca\b|\.(crt|pem)$/.test(file) ? authority.certificate : "{}");
        await writeFile(join(folder, mountPath, file), text);
      }
    }
    expect([...volumes.keys()], "volumes that nothing mounts").to.deep.equal([]);
    const env = (containerOf(pod).env ?? []).map(({ name, value = "" }) => [
      name,
      value.replace(/^\/run\//, `${folder}/run/`),
    ]);
    return readConfig(Object.fromEntries(env));
  }

  function filesIn({ secret, configMap }: Volume): string[] {
    const items = secret?.items ?? configMap?.items;
    // A secret of type kubernetes.io/tls always has these two.
    return items?.map(({ path }) => path) ?? ["tls.crt", "tls.key"];
  }

  it("configures TLS and authentication", async () => {
    const [least, migration] = podsOf(render(LEAST)) as [PodSpec, PodSpec];
    const [all] = podsOf(render(ALL)) as [PodSpec, PodSpec];
    const { security, shutdownGraceMs, listenAddress, adminAddress } = await configured(least);
    expect({
      insecure: security.insecure,
      tls: security.tls !== undefined,
      issuer: security.bearers?.issuer,
      shutdownGraceMs,
      listenAddress,
      adminAddress,
    }).to.deep.equal({
      insecure: false,
      tls: true,
      issuer: "https://id.test",
      shutdownGraceMs: 30_000,
      listenAddress: { host: "0.0.0.0", port: 50_051 },
      adminAddress: { host: "0.0.0.0", port: 9464 },
    });
    expect((await configured(migration)).database).to.include({ kind: "mysql", host: "db.test" });
    const config = await configured(all);
    expect({
      leeway: config.expiryLeewayMs,
      interval: config.pruneIntervalMs,
      retention: config.pruneRetentionMs,
      level: config.logLevel,
      rows: config.security.quota.rows,
      lifetime: config.security.maxTokenLifetimeMs,
      clientCa: config.security.tls?.clientCa !== undefined,
      clientCrl: config.security.tls?.clientCrl !== undefined,
      rolesFile: config.security.certificateRolesFile !== undefined,
      roles: config.security.certificateRoles !== undefined,
    }).to.deep.equal({
      leeway: 600_000,
      interval: 7_200_000,
      retention: 30 * 86_400_000,
      level: "debug",
      rows: 1000,
      lifetime: 30 * 86_400_000,
      clientCa: true,
      clientCrl: true,
      rolesFile: true,
      roles: true,
    });
  });

  it("leaves the refusal of unsafe settings to the service", async () => {
    const [pod] = podsOf(render({ database: LEAST.database })) as [PodSpec, PodSpec];
    const error = await configured(pod).then(
      () => "",
      ({ message }: Error) => message,
    );
    expect(error).to.include("LISTEN_ADDRESS must be a loopback address");
    const [insecure] = podsOf(render({ database: LEAST.database, insecure: true })) as [PodSpec, PodSpec];
    expect((await configured(insecure)).security.insecure).to.equal(true);
  });

  it("allows the configured clients in, and the needed destinations out", () => {
    const { spec } = find<NetworkPolicy>(render(ALL), "NetworkPolicy");
    expect({ ingress: spec?.ingress, egress: spec?.egress }).to.deep.equal({
      ingress: [
        {
          from: [{ namespaceSelector: { matchLabels: { team: "gateways" } } }],
          ports: [{ port: "grpc", protocol: "TCP" }],
        },
        {
          from: [
            {
              namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "monitoring" } },
              podSelector: { matchLabels: { "app.kubernetes.io/name": "prometheus" } },
            },
          ],
          ports: [{ port: "admin", protocol: "TCP" }],
        },
      ],
      egress: [
        {
          ports: [
            { port: 53, protocol: "UDP" },
            { port: 53, protocol: "TCP" },
            { port: 4000, protocol: "TCP" },
          ],
        },
      ],
    });
  });

  it("restricts the admin port to the configured monitoring", () => {
    const admins = [{ podSelector: { matchLabels: { app: "agent" } } }];
    for (const [values, peers] of [
      [{ ...LEAST, networkPolicy: { monitoring: admins } }, admins],
      [LEAST, undefined],
    ] as const) {
      const { spec } = find<NetworkPolicy>(render(values), "NetworkPolicy");
      const open = (spec?.ingress ?? []).filter(
        ({ ports }) => ports?.some(({ port }) => port !== "grpc") ?? true,
      );
      expect(open).to.have.length(1);
      if (peers !== undefined) expect(open[0]?.from).to.deep.equal(peers);
      // Each selects pods: a whole namespace would include more than the monitoring.
      for (const { podSelector, ipBlock } of open[0]?.from ?? []) {
        expect([ipBlock, Object.keys(podSelector?.matchLabels ?? {}).length]).to.deep.equal([undefined, 1]);
      }
    }
  });

  it("uses the image's digest in every pod, and warns if there is none", () => {
    const digest = `sha256:${"0a".repeat(32)}`;
    const imagesOf = (image: object) =>
      podsOf(render({ ...LEAST, image })).map((pod) => containerOf(pod).image);
    const repository = "registry.test/token-blacklist";
    const both = (image: string) => [image, image];
    expect(imagesOf({ repository, tag: "1.2.3", digest })).to.deep.equal(
      both(`${repository}:1.2.3@${digest}`),
    );
    expect(imagesOf({ repository, tag: "1.2.3" })).to.deep.equal(both(`${repository}:1.2.3`));
    expect(imagesOf({ repository, digest })[0]).to.match(
      /^registry\.test\/token-blacklist:[\d.]+@sha256:(0a){32}$/,
    );
  });

  it("configures the Prometheus operator", () => {
    expect(find<{ spec: unknown }>(render(ALL), "ServiceMonitor").spec).to.deep.equal({
      selector: {
        matchLabels: {
          "app.kubernetes.io/name": "token-blacklist",
          "app.kubernetes.io/instance": "trial",
          "app.kubernetes.io/component": "headless",
        },
      },
      endpoints: [{ port: "admin", path: "/metrics", interval: "15s" }],
    });
  });

  it("refuses missing, misspelt and unsafe values", async () => {
    expect(() => render({})).to.throw(/database/);
    const schema = JSON.parse(await readFile(join(CHART, "values.schema.json"), "utf8"));
    const defaults = parse(await readFile(join(CHART, "values.yaml"), "utf8"));
    const validate = new Ajv({ strict: false }).compile(schema);
    expect([LEAST, ALL].map((values) => validate({ ...defaults, ...values }))).to.deep.equal([true, true]);
    for (const wrong of [
      {},
      { ...LEAST, replica: 3 },
      { ...LEAST, replicas: "3" },
      { ...LEAST, database: { secret: "x", url: "mysql://root:secret@db/x" } },
      { ...LEAST, settings: { expiryLeeway: "5 minutes" } },
      { ...LEAST, auth: { jwksUrl: "http://id.test/keys" } },
      // Would allow every source.
      { ...LEAST, networkPolicy: { clients: [] } },
      { ...LEAST, networkPolicy: { monitoring: [] } },
      { ...LEAST, networkPolicy: { monitoring: [{}] } },
      ...["latest", `sha256:${"0".repeat(63)}`, `sha256:${"0A".repeat(32)}`, `sha512:${"0a".repeat(32)}`].map(
        (digest) => ({
          ...LEAST,
          image: { repository: "registry.test/token-blacklist", digest },
        }),
      ),
    ]) {
      expect(validate({ ...defaults, ...wrong }), JSON.stringify(wrong)).to.equal(false);
    }
  });

  it("has the version of the service that it installs", async () => {
    const { version, appVersion } = parse(await readFile(join(CHART, "Chart.yaml"), "utf8"));
    const about = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
    expect({ version, appVersion }).to.deep.equal({ version: about.version, appVersion: about.version });
  });
});
