import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { expect } from "chai";
import type { JWTPayload } from "jose";
import { StatusSchema } from "../../gen/google/rpc/status_pb.js";
import {
  BlacklistRequestSchema,
  EntryKind,
  IsBlacklistedRequestSchema,
  StreamChecksRequestSchema,
  StreamChecksResponseSchema,
  TokenBlacklist,
  WatchRequestSchema,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { ROLES, type Role } from "../../src/caller.ts";
import type { CertificateAndKey } from "../support/certificates.ts";
import { createSigningKey } from "../support/issuer.ts";
import { type RawCallAnswer, RawCalls } from "../support/raw-calls.ts";
import { bytesOf } from "../support/raw-channel.ts";
import type { Fields } from "../support/raw-http2.ts";
import { YEAR_2100 } from "../support/revoke.ts";
import { SecuredFiles, type SignOptions } from "../support/secured-files.ts";
import { type RunningService, startService } from "../support/service.ts";

const BUF = createRequire(import.meta.url).resolve("@bufbuild/buf/bin/buf");
const NOTHING = new Uint8Array();

/** Methods that validate their request before they check the caller's token get a valid request, others an empty one. */
const REQUESTS: Readonly<Record<string, Uint8Array>> = {
  "tokenblacklist.v1.TokenBlacklist/IsBlacklisted": bytesOf(IsBlacklistedRequestSchema, { jtis: ["a"] }),
  "tokenblacklist.v1.TokenBlacklist/StreamChecks": bytesOf(StreamChecksRequestSchema, {
    ...{ id: 1, question: { jtis: ["a"] } },
  }),
  "tokenblacklist.v1.TokenBlacklist/Watch": bytesOf(WatchRequestSchema, {
    request: { case: "start", value: { entryKinds: [EntryKind.JTI] } },
  }),
};

/** The required role by service and, if its methods differ, by method. `undefined`: no credential. */
const ROLE_OF: Readonly<Record<string, Role | undefined>> = {
  "tokenblacklist.v1.TokenBlacklist/Blacklist": "revoke",
  "tokenblacklist.v1.TokenBlacklist/IsBlacklisted": "check",
  "tokenblacklist.v1.TokenBlacklist/List": "list",
  "tokenblacklist.v1.TokenBlacklist/Prune": "prune",
  "tokenblacklist.v1.TokenBlacklist/StreamChecks": "check",
  "tokenblacklist.v1.TokenBlacklist/Watch": "check",
  "envoy.service.auth.v3.Authorization": "check",
  "grpc.health.v1.Health": undefined,
  "grpc.reflection.v1.ServerReflection": undefined,
  "grpc.reflection.v1alpha.ServerReflection": undefined,
};

/** The roles of the table's certificates; undefined: no certificate; "carrier": no roles. */
const CERTIFICATES: Readonly<Record<string, readonly Role[] | "carrier" | undefined>> = {
  "without a certificate": undefined,
  "over an operator's certificate": ROLES,
  "over a certificate with one role": ["check"],
  "over a certificate that is in no list": [],
  "over a certificate whose callers authenticate by token": "carrier",
};
const NAMES: Readonly<Record<string, string>> = {
  "over an operator's certificate": "operator.test",
  "over a certificate with one role": "gateway.test",
  "over a certificate that is in no list": "unlisted.test",
  "over a certificate whose callers authenticate by token": "carrier.test",
};

type Outcome = "let in" | "UNAUTHENTICATED" | "PERMISSION_DENIED";

describe("every call with every credential", () => {
  let files: SecuredFiles;
  let running: RunningService;
  let methods: readonly string[];
  const connections = new Map<string, RawCalls>();

  before(async () => {
    files = await SecuredFiles.create();
    running = await startService({
      url: `sqlite:${files.file("token-blacklist.db")}`,
      env: {
        ...files.env,
        EXT_AUTHZ: "on",
        REFLECTION: "on",
        TLS_CLIENT_ROLES: `DNS:operator.test=${ROLES.join(",")} DNS:gateway.test=check DNS:carrier.test=none`,
      },
    });
    await running.indexLoaded().catch(() => {});
    methods = await methodsOf(running.address);
    const tokens = [{ token: { case: "jti" as const, value: "revoked" }, expiresAt: YEAR_2100 }];
    const revocation = bytesOf(BlacklistRequestSchema, { tokens });
    const operator = await connectionOf("over an operator's certificate");
    const path = "/tokenblacklist.v1.TokenBlacklist/Blacklist";
    expect(await operator.call(path, [], revocation)).to.include({ code: "OK" });
  });

  after(async () => {
    for (const connection of connections.values()) connection.close();
    await running?.stop();
  });

  async function connectionOf(certificate: string): Promise<RawCalls> {
    const known = connections.get(certificate);
    if (known !== undefined) return known;
    const name = NAMES[certificate];
    const own: CertificateAndKey | undefined =
      name === undefined ? undefined : await files.authority.issue([{ type: "dns", value: name }]);
    const opened = await RawCalls.open(running.address, { ca: files.authority.certificate, own });
    connections.set(certificate, opened);
    return opened;
  }

  /** All methods of the service, by reflection. */
  async function methodsOf(address: string): Promise<readonly string[]> {
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...[BUF, "curl", "--protocol", "grpc", "--reflect", "--list-methods"],
      ...["--cacert", files.file("ca.pem"), "--servername", "localhost"],
      `https://${address}`,
    ]);
    return stdout.trim().split("\n");
  }

  const token = (claims?: JWTPayload, options?: SignOptions) => files.token(claims, options);
  const revoked = () => token({ jti: "revoked" });
  /** Header fields for a revoked token and for a valid one. */
  const around = (make: (value: string) => Fields) => ({
    good: async () => make(`Bearer ${await token()}`),
    revoked: async () => make(`Bearer ${await revoked()}`),
  });
  const one = (value: string): Fields => [["authorization", value]];

  /** The roles of a call with this credential; undefined if it is invalid. */
  const TOKENS: Record<string, [fields: () => Promise<Fields>, roles: readonly Role[] | undefined]> = {
    "a token with all roles": [async () => one(`Bearer ${await token()}`), ROLES],
    "a token with one role": [async () => one(`Bearer ${await token({ scope: "list" })}`), ["list"]],
    "a token without a role": [async () => one(`Bearer ${await token({ scope: "" })}`), []],
    "a token whose scheme is in lower case": [async () => one(`bearer ${await token()}`), ROLES],
    "a token whose scheme is in upper case": [async () => one(`BEARER ${await token()}`), ROLES],
    "an expired token": [async () => one(`Bearer ${await token({ exp: now() - 1 })}`), undefined],
    "a revoked token": [async () => one(`Bearer ${await revoked()}`), undefined],
    "a token of another audience": [async () => one(`Bearer ${await token({ aud: "shop" })}`), undefined],
    "a token of another issuer": [
      async () => one(`Bearer ${await token({ iss: "https://evil.test" })}`),
      undefined,
    ],
    "a token of an unknown key": [
      async () => one(`Bearer ${await token({}, { signer: await createSigningKey("k2") })}`),
      undefined,
    ],
    "a token without a signature": [async () => one(`Bearer ${await unsigned()}`), undefined],
    "an empty value": [async () => one(""), undefined],
    "no token": [async () => one("Bearer"), undefined],
    "another scheme": [async () => one("Basic dXNlcjpwYXNz"), undefined],
    "no scheme": [async () => one(await token()), undefined],
  };

  const DAMAGES: Record<string, (value: string) => Fields> = {
    "a tab behind it": (value) => one(`${value}\t`),
    "a tab before it": (value) => one(`\t${value}`),
    "a tab in place of the space": (value) => one(value.replace(" ", "\t")),
    "a space behind it": (value) => one(`${value} `),
    "a space before it": (value) => one(` ${value}`),
    "NUL behind it": (value) => one(`${value}\0`),
    "NUL in the middle": (value) => one(value.replace(".", "\0.")),
    "a control character": (value) => one(`${value}\x01`),
    "a line break": (value) => one(`${value}\r\n`),
    "DEL behind it": (value) => one(`${value}\x7f`),
    "a no-break space behind it": (value) => one(`${value}\xa0`),
    "UTF-8 behind it": (value) => one(`${value}\xc3\xa9`),
    "a comma behind it": (value) => one(`${value},`),
    "a second one after a comma": (value) => one(`${value}, ${value}`),
    "the same in a second field": (value) => [...one(value), ...one(value)],
    "another in a second field": (value) => [...one(value), ...one("Basic dXNlcjpwYXNz")],
    "an empty second field": (value) => [...one(value), ...one("")],
    "an empty field before it": (value) => [...one(""), ...one(value)],
    "a space in the field's name": (value) => [["authorization ", value]],
    "a name for binary values": (value) => [
      ["authorization-bin", Buffer.from(value, "latin1").toString("base64")],
    ],
  };

  for (const [certificate, rights] of Object.entries(CERTIFICATES)) {
    describe(certificate, () => {
      it("without a token: by the certificate's roles", () =>
        expectEach(certificate, [], byRoles(rights === "carrier" ? undefined : rights)));

      for (const [name, [fields, roles]] of Object.entries(TOKENS)) {
        it(`${name}: by the token only`, async () => expectEach(certificate, await fields(), byRoles(roles)));
      }

      for (const [name, damage] of Object.entries(DAMAGES)) {
        it(`a token with ${name}: never, whether valid or revoked`, async () => {
          const { good, revoked: bad } = around(damage);
          await expectEach(certificate, await good(), byRoles(undefined));
          await expectEach(certificate, await bad(), byRoles(undefined));
        });
      }
    });
  }

  it("accepts header blocks in several frames, with padding and priority", async () => {
    const connection = await connectionOf("over an operator's certificate");
    const path = "/tokenblacklist.v1.TokenBlacklist/List";
    const value = `Bearer ${await revoked()}`;
    for (const shape of [{ cut: 97 }, { padding: 0 }, { padding: 200 }, { hasPriority: true }]) {
      const codes = [];
      for (const fields of [[], one(`${value}\t`), one(value)]) {
        codes.push((await connection.call(path, fields, NOTHING, shape)).code);
      }
      expect([shape, ...codes]).to.deep.equal([shape, "OK", "UNAUTHENTICATED", "UNAUTHENTICATED"]);
    }
  });

  it("refuses any damaged header, since it might be the credential", async () => {
    const connection = await connectionOf("over an operator's certificate");
    const { code, message } = await connection.call(
      "/tokenblacklist.v1.TokenBlacklist/List",
      [["x-request-id", "a\0b"]],
      NOTHING,
    );
    expect(code).to.equal("UNAUTHENTICATED");
    expect(decodeURIComponent(message)).to.match(/header field has invalid characters/);
  });

  /** Roles by method; `undefined`: no credential needed. */
  function byRoles(roles: readonly Role[] | undefined): (role: Role | undefined) => Outcome {
    return (role) => {
      if (role === undefined) return "let in";
      if (roles === undefined) return "UNAUTHENTICATED";
      return roles.includes(role) ? "let in" : "PERMISSION_DENIED";
    };
  }

  async function expectEach(
    certificate: string,
    fields: Fields,
    expected: (role: Role | undefined) => Outcome,
  ): Promise<void> {
    const connection = await connectionOf(certificate);
    const outcomes = await Promise.all(
      methods.map(async (method) => {
        const answer = await connection.call(`/${method}`, fields, REQUESTS[method] ?? NOTHING);
        return [method, outcomeOf(method, answer)];
      }),
    );
    expect(outcomes).to.deep.equal(methods.map((method) => [method, expected(roleOf(method))]));
  }

  async function unsigned(): Promise<string> {
    const [, payload] = (await token()).split(".");
    const header = Buffer.from(JSON.stringify({ alg: "none", kid: "k1" })).toString("base64url");
    return `${header}.${payload}.`;
  }
});

function now(): number {
  return Math.floor(Date.now() / 1000);
}

function outcomeOf(method: string, { code, bytes }: RawCallAnswer): string | undefined {
  const isQuestion = bytes !== undefined && method === `${TokenBlacklist.typeName}/StreamChecks`;
  const { outcome } = isQuestion ? fromBinary(StreamChecksResponseSchema, bytes) : {};
  const answered = outcome?.case === "status" ? status[fromBinary(StatusSchema, outcome.value).code] : code;
  // An empty request is not valid for every method.
  return answered === "OK" || answered === "INVALID_ARGUMENT" ? "let in" : answered;
}

function roleOf(method: string): Role | undefined {
  const [service = ""] = method.split("/");
  const name = [method, service].find((known) => known in ROLE_OF);
  if (name === undefined) throw new Error(`say in ROLE_OF which role ${method} takes`);
  return ROLE_OF[name];
}
