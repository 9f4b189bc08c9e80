import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createAuthority } from "../../test/support/certificates.ts";
import { createSigningKey, keySetOf, signToken } from "../../test/support/issuer.ts";
import { alternate } from "../alternate.ts";
import { check } from "../contestants/grpc.ts";
import { closedLoop } from "../load.ts";
import { target, throughputRows } from "../result.ts";
import type { Access } from "../stage/grpc-client.ts";
import { startService } from "../stage/service.ts";
import type { Stage } from "../stage/stage.ts";
import { median } from "../statistics.ts";
import type { Scenario } from "./scenario.ts";

const SIZE = 20;
const CALLERS = 64;
/** Many short slices, compared round by round: see `fresh-checks.ts`. */
const ROUNDS_EACH = 6;
const SECONDS_EACH = 0.6;
const WARM_UP_ROUNDS = 4;

interface Protection {
  readonly environment: Readonly<Record<string, string>>;
  readonly access: Access;
}

/** Callers authenticated by tokens with a jti each, which every check looks up too. */
export async function withTokens(folder: string): Promise<Protection> {
  const key = await createSigningKey("bench");
  await writeFile(join(folder, "keys.json"), keySetOf(key));
  const issuer = "https://issuer.test";
  const audience = "token-blacklist";
  const token = await signToken(key, {
    ...{ iss: issuer, aud: audience, sub: "gateway", jti: "the gateway's own", scope: "check" },
    exp: Math.floor(Date.now() / 1000) + 86_400,
  });
  return {
    environment: {
      AUTH_JWKS_FILE: join(folder, "keys.json"),
      AUTH_ISSUER: issuer,
      AUTH_AUDIENCE: audience,
    },
    access: { token },
  };
}

async function withTls(folder: string): Promise<Protection> {
  const authority = await createAuthority();
  const { certificate, key } = await authority.issue([{ type: "dns", value: "localhost" }]);
  await writeFile(join(folder, "cert.pem"), certificate);
  await writeFile(join(folder, "key.pem"), key);
  return {
    environment: { TLS_CERT_FILE: join(folder, "cert.pem"), TLS_KEY_FILE: join(folder, "key.pem") },
    access: { ca: authority.certificate },
  };
}

/** The cost of authentication and of TLS. */
export function protectedCheckScenario(): Scenario {
  const name = `IsBlacklisted, ${SIZE} jtis a call, ${CALLERS} callers, bearer tokens and TLS`;
  return {
    name,
    async run({ rounds, seconds }, { ground, database, service: open }: Stage) {
      const { guard, closing } = ground;
      const tokens = await withTokens(guard.folder);
      const tls = await withTls(guard.folder);
      const both = {
        environment: { ...tokens.environment, ...tls.environment },
        access: { ...tokens.access, ...tls.access },
      };
      const start = async (serviceName: string, protection: Protection) => {
        const setup = { name: serviceName, databaseUrl: database.url, ...protection };
        const service = closing(await startService(guard, setup));
        await service.indexLoaded();
        return service;
      };
      const services = [
        { name: "without both", service: open },
        { name: "without both, as a control", service: open },
        { name: "bearer tokens", service: await start("with-tokens", tokens) },
        { name: "TLS", service: await start("with-tls", tls) },
        { name: "bearer tokens and TLS", service: await start("with-both", both) },
      ];
      const contestants = services.map((one) =>
        check(SIZE)(one.name, one.service, [one.service.pid, database.pid]),
      );
      const slices = await alternate(
        contestants,
        { rounds: rounds * ROUNDS_EACH, warmUp: WARM_UP_ROUNDS },
        (contestant) => closedLoop(contestant, { callers: CALLERS, seconds: seconds * SECONDS_EACH }),
      );
      for (const { service } of services.slice(2)) await service.close();
      const rates = slices.map((own) => own.map((slice) => slice.calls / slice.seconds));
      const toOpen = (index: number) =>
        median(
          (rates[index] ?? []).map(
            (own, round) => (2 * own) / ((rates[0]?.[round] ?? 0) + (rates[1]?.[round] ?? 0)),
          ),
        );
      const rows = throughputRows(
        services.map((one) => one.name),
        slices,
      );
      return {
        name,
        unit: "calls",
        rows,
        targets: [
          target("IsBlacklisted with bearer tokens, to without", toOpen(2), { atLeast: 0.95 }),
          target("IsBlacklisted with TLS, to without", toOpen(3), { atLeast: 0.85 }),
        ],
        skipped: [],
      };
    },
  };
}
