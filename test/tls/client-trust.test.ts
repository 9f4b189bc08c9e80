import { X509Certificate } from "node:crypto";
import { expect } from "chai";
import type { EpochMs } from "../../src/entry.ts";
import { ClientTrust } from "../../src/tls/client-trust.ts";
import { type Authority, createAuthority } from "../support/certificates.ts";
import { thrownBy } from "../support/rejection.ts";

const HOUR_MS = 3_600_000;
const GONE = "no CA in TLS_CLIENT_CA_FILE is its issuer";

describe("who vouches for clients", () => {
  let root: Authority;
  let between: Authority;
  let own: string;
  let below: string;

  before(async () => {
    root = await createAuthority("root");
    between = await root.subordinate("between");
    own = (await root.issue([{ type: "dns", value: "a.test" }])).certificate;
    below = (await between.issue([{ type: "dns", value: "b.test" }])).certificate;
  });

  const now = (aheadMs = 0) => (Date.now() + aheadMs) as EpochMs;
  const joined = (...pem: readonly string[]) => pem.join("\n");
  const chain = (...pem: readonly string[]) => pem.map((text) => new X509Certificate(text));
  const trust = (ca: readonly string[], crl?: readonly string[]) =>
    new ClientTrust({ ca: joined(...ca), crl: crl && joined(...crl) });

  it("is whoever leads to a root that is trusted, over authorities that are trusted or were sent along", () => {
    const only = trust([root.certificate]);
    const both = trust([between.certificate, root.certificate]);
    expect([
      only.whyRejected(chain(own), now()),
      only.whyRejected(chain(below, between.certificate, root.certificate), now()),
      both.whyRejected(chain(below), now()),
    ]).to.deep.equal([undefined, undefined, undefined]);
  });

  it("is nobody where the way does not lead there", async () => {
    const namesake = await createAuthority("root");
    expect([
      trust([namesake.certificate]).whyRejected(chain(own, root.certificate), now()),
      trust([root.certificate]).whyRejected(chain(below), now()),
      // As OpenSSL has it, an authority between is no root.
      trust([between.certificate]).whyRejected(chain(below, between.certificate, root.certificate), now()),
      trust([root.certificate]).whyRejected([], now()),
      trust([root.certificate]).whyRejected(chain(own), now(48 * HOUR_MS)),
    ]).to.deep.equal([GONE, GONE, GONE, "it is unknown", GONE]);
  });

  it("takes back what it revokes, at each step of the way, while its list holds", async () => {
    const judged = async (revoked: readonly string[], revokedBelow: readonly string[], aheadMs = 0) => {
      const lists = [await root.revoke(revoked), await between.revoke(revokedBelow)];
      const both = trust([root.certificate, between.certificate], lists);
      return [both.whyRejected(chain(own), now(aheadMs)), both.whyRejected(chain(below), now(aheadMs))];
    };
    const REVOKED = "it has been revoked";
    const EXPIRED = "the revocation list of its CA has expired or is not valid yet";
    expect([
      await judged([], []),
      await judged([own], []),
      await judged([], [below]),
      await judged([between.certificate], []),
      await judged([], [], 2 * HOUR_MS),
      await judged([], [], -2 * HOUR_MS),
    ]).to.deep.equal([
      [undefined, undefined],
      [REVOKED, undefined],
      [undefined, REVOKED],
      [undefined, REVOKED],
      [EXPIRED, EXPIRED],
      [EXPIRED, EXPIRED],
    ]);
  });

  it("needs a list of each authority, and none of others", async () => {
    const problem = (ca: readonly string[], crl: readonly string[]) =>
      (thrownBy(() => trust(ca, crl)) as Error).message;
    const [ofRoot, ofBetween] = [await root.revoke([]), await between.revoke([])];
    expect(problem([root.certificate, between.certificate], [ofRoot])).to.match(
      /^TLS_CLIENT_CRL_FILE has no revocation list signed by certificate number 2 of TLS_CLIENT_CA_FILE/,
    );
    expect(problem([root.certificate], [ofRoot, ofBetween])).to.match(
      /revocation list number 2 is not signed by a CA in TLS_CLIENT_CA_FILE/,
    );
  });

  it("knows which lists are older, by each authority", async () => {
    const at = async (rootMs: number, betweenMs: number) =>
      trust(
        [root.certificate, between.certificate],
        [
          await root.revoke([], { validMs: [rootMs, HOUR_MS] }),
          await between.revoke([], { validMs: [betweenMs, 2 * HOUR_MS] }),
        ],
      );
    const present = await at(-2000, -2000);
    expect([
      (await at(-9000, 0)).isOlderThan(present),
      (await at(0, -9000)).isOlderThan(present),
      (await at(0, 0)).isOlderThan(present),
      present.isOlderThan(present),
      trust([root.certificate]).isOlderThan(present),
    ]).to.deep.equal([true, true, false, false, false]);
    const { notBefore, notAfter } = present.listValidity ?? {};
    expect(Math.round((Number(notAfter) - Number(notBefore)) / 60_000)).to.equal(60);
  });
});
