import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { ROLES } from "../../src/caller.ts";
import { createAuthority } from "../support/certificates.ts";
import { createSigningKey, keySetOf, signToken } from "../support/issuer.ts";
import { RawChannel } from "../support/raw-channel.ts";
import { CommandProcess } from "../support/service-process.ts";
import type { Target } from "./attack.ts";

/** The resources of the attacked process. */
const HEAP_MIB = 1024;
const DESCRIPTORS = 1024;

const ISSUER = "https://issuer.test";
const AUDIENCE = "token-blacklist";

/** A service in a process, with authentication and all listeners. */
export interface Stage {
  readonly process: CommandProcess;
  readonly target: Target;
  /** Connects an authenticated caller. */
  readonly connect: () => RawChannel;
  /** Kills the process and removes its files. Resolves with its log. */
  stop(): Promise<string>;
}

/** Starts the service of `main`, by default this tree's build, with an empty embedded database. */
export async function openStage({
  tls,
  main,
  nodeOptions = [],
}: {
  tls: boolean;
  main?: string | undefined;
  /** Options of Node.js, such as those for a profile. */
  nodeOptions?: readonly string[];
}): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), "token-blacklist-attacks-"));
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const key = await createSigningKey("caller");
  const keys = await file("keys.json", keySetOf(key));
  const authority = await createAuthority();
  const own = await authority.issue([{ type: "dns", value: "localhost" }]);
  const env = {
    DATABASE_URL: `sqlite:${join(folder, "database")}`,
    LISTEN_ADDRESS: "127.0.0.1:0",
    ADMIN_ADDRESS: "127.0.0.1:0",
    AUTHZ_ADDRESS: "127.0.0.1:0",
    AUTHZ_JTI_HEADER: "x-token-id",
    EXT_AUTHZ: "on",
    REFLECTION: "on",
    AUTH_JWKS_FILE: keys,
    TOKEN_ISSUERS: `${ISSUER}=file:${keys}`,
    AUTH_ISSUER: ISSUER,
    AUTH_AUDIENCE: AUDIENCE,
    ...(tls && {
      TLS_CLIENT_CA_FILE: await file("authority.pem", authority.certificate),
      TLS_CLIENT_ROLES: `DNS:operator.test=${ROLES.join(",")}`,
      TLS_CERT_FILE: await file("cert.pem", own.certificate),
      TLS_KEY_FILE: await file("key.pem", own.key),
    }),
  };
  const process = new CommandProcess(["serve"], env, {
    main,
    descriptors: DESCRIPTORS,
    nodeOptions: [`--max-old-space-size=${HEAP_MIB}`, ...nodeOptions],
  });
  const stop = async () => {
    await process.kill();
    await rm(folder, { recursive: true, force: true });
    return (await process.ended).stdout;
  };
  try {
    const { address, admin, authz } = await process.line("listening");
    await process.line("index loaded");
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: "caller", scope: "check revoke list prune" };
    return {
      process,
      target: {
        address: String(address),
        adminAddress: String(admin),
        authzAddress: String(authz),
        token: await signToken(key, { ...claims, exp }),
        authority: authority.certificate,
        operator: await authority.issue([{ type: "dns", value: "operator.test" }]),
        rawToken: await signToken(key, { iss: ISSUER, jti: "shown", exp }),
      },
      connect: () =>
        tls
          ? new RawChannel(
              String(address).replace("127.0.0.1", "localhost"),
              {},
              credentials.createSsl(Buffer.from(authority.certificate)),
            )
          : new RawChannel(String(address)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
