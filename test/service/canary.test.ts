import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { credentials } from "@grpc/grpc-js";
import { expect } from "chai";
import { BlacklistRequestSchema } from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { Asker } from "../support/asker.ts";
import { createAuthority } from "../support/certificates.ts";
import { createSigningKey, KeyServer, signToken } from "../support/issuer.ts";
import { methodPath, RawChannel } from "../support/raw-channel.ts";
import { recordSpans } from "../support/recorded-spans.ts";
import { startService } from "../support/service.ts";
import { freshFolder } from "../support/shared.ts";
import { until } from "../support/until.ts";

const CANARY = "c4n4ry";
const now = () => Math.floor(Date.now() / 1000);

/** In every secret part of a token: other claims, names of keys, headers. */
const HIDDEN = { note: CANARY, [CANARY]: CANARY };

describe("secrets", () => {
  it("appear in no log line, error, metric or span: credentials, raw tokens, URLs of keys, and their content", async function () {
    this.timeout(60_000);
    const folder = await freshFolder();
    const key = await createSigningKey(CANARY);
    const keys = await KeyServer.start(key);
    // The error pages of an identity provider are secret too.
    const keySet = keys.body;
    keys.body = CANARY;
    const spans = recordSpans();
    const authority = await createAuthority();
    const { certificate, key: privateKey } = await authority.issue([{ type: "dns", value: "localhost" }]);
    await writeFile(join(folder, `${CANARY}.pem`), certificate);
    await writeFile(join(folder, `${CANARY}.key`), privateKey);
    const issuer = `https://${CANARY}.test`;
    const running = await startService({
      url: `sqlite:${join(folder, "db")}`,
      env: {
        LOG_LEVEL: "trace",
        AUTH_JWKS_URL: `${keys.url}?${CANARY}`,
        AUTH_ISSUER: issuer,
        AUTH_AUDIENCE: CANARY,
        TOKEN_ISSUERS: `${issuer}=${keys.url}?${CANARY}`,
        TLS_CERT_FILE: join(folder, `${CANARY}.pem`),
        TLS_KEY_FILE: join(folder, `${CANARY}.key`),
      },
    });
    const channel = new RawChannel(
      running.address.replace("127.0.0.1", "localhost"),
      {},
      credentials.createSsl(Buffer.from(authority.certificate)),
    );
    const claims = { ...HIDDEN, iss: issuer, aud: CANARY, sub: "somebody", exp: now() + 600 };
    const good = await signToken(key, { ...claims, scope: `revoke ${CANARY}` }, { typ: CANARY });
    const stranger = await createSigningKey(`${CANARY}2`);
    const bad = await Promise.all([
      signToken(key, { ...claims, exp: 1 }),
      signToken(key, { ...claims, aud: `${CANARY}2` }),
      signToken(key, { ...claims, sub: CANARY.repeat(50) }),
      signToken(stranger, claims),
      signToken(key, { ...claims, jti: CANARY.repeat(50) }),
      ...[`${good}${CANARY}`, `${CANARY}.${CANARY}.${CANARY}`, `e30.${CANARY}.e30`, CANARY],
    ]);
    const raw = await Promise.all([
      signToken(key, { ...claims, jti: "told" }),
      signToken(key, { ...claims, jti: "told", exp: 1 }),
      signToken(key, { ...claims, jti: "told" }, { crit: ["b64"], b64: true, [CANARY]: CANARY }),
      signToken(stranger, { ...claims, jti: "told" }),
      signToken(key, { ...claims, iss: CANARY, jti: "told" }),
      ...bad,
    ]);
    const answers: string[] = [];
    const blacklist = async (jwt: string, authorization: string) => {
      const bytes = toBinary(
        BlacklistRequestSchema,
        create(BlacklistRequestSchema, { tokens: [{ token: { case: "jwt", value: jwt } }] }),
      );
      const { code, details, metadata } = await channel.call(methodPath("Blacklist"), bytes, {
        authorization: [authorization],
      });
      const [more] = metadata.get("grpc-status-details-bin");
      answers.push(`${code} ${details} ${more ?? ""}`);
      return code;
    };
    const check = async (jti: string, authorization: string) => {
      const asker = new Asker(channel, { authorization: [authorization] });
      answers.push(JSON.stringify(await asker.ask({ jtis: [jti] })));
      // And bytes that are not a message.
      asker.stream.write(Buffer.from(`\u00ff${jti}`));
      answers.push(JSON.stringify(await asker.ended));
    };
    try {
      await until(() => running.logs().some(({ msg }) => msg === "the key set cannot be read"), {
        withinMs: 5000,
        what: "the trouble is told",
      });
      keys.body = keySet;
      await until(async () => (await blacklist(raw[0] as string, `Bearer ${good}`)) === "OK", {
        withinMs: 5000,
        what: "keys are there and the service is up",
      });
      for (const token of raw) await blacklist(token, `Bearer ${good}`);
      for (const token of bad) await blacklist(raw[0] as string, `Bearer ${token}`);
      for (const other of [`Basic ${CANARY}`, CANARY, `Bearer ${CANARY} ${CANARY}`]) {
        await blacklist(raw[0] as string, other);
      }
      const asks = await signToken(key, { ...claims, scope: `check ${CANARY}`, jti: CANARY });
      for (const jti of [CANARY, `${CANARY}\0`, good]) await check(jti, `Bearer ${asks}`);
      for (const token of bad) await check(CANARY, `Bearer ${token}`);
      await check(CANARY, CANARY);
      expect(answers.filter((answer) => answer.startsWith('{"verdicts":'))).to.have.lengthOf(1);
      expect(answers.filter((answer) => answer.startsWith("OK"))).to.have.length.of.at.least(2);
      expect(new Set(answers).size).to.be.at.least(10);
      expect(answers.join("\n")).not.to.include(CANARY);
      expect(running.logText()).not.to.include(CANARY);
      for (const part of good.split(".")) expect(running.logText()).not.to.include(part.slice(0, 20));
      const metrics = await (await fetch(`${running.adminUrl}/metrics`)).text();
      expect(metrics).not.to.include(CANARY);
      const traced = spans.take();
      expect(new Set(traced.map(({ attributes }) => attributes["rpc.response.status_code"]))).to.include.keys(
        "OK",
        "UNAUTHENTICATED",
        "INVALID_ARGUMENT",
      );
      // The caller is secret there too.
      for (const secret of [CANARY, "somebody", "told"])
        expect(JSON.stringify(traced)).not.to.include(secret);
    } finally {
      channel.close();
      await running.stop();
      await spans.stop();
      await keys.stop();
    }
  });
});
