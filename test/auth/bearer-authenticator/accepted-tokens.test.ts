import { expect } from "chai";
import type { Principal } from "../../../src/caller.ts";
import { BearerStage, RULES } from "./bearer-stage.ts";

describe("BearerAuthenticator", () => {
  let stage: BearerStage;

  beforeEach(async () => {
    stage = await BearerStage.start();
  });
  afterEach(() => stage.stop());

  const told = ({ name, roles, token }: Principal) => ({ name, roles: [...roles], token });

  describe("authenticates a token", () => {
    it("with a subject, roles and a jti", async () => {
      const token = await stage.tokenWith({ jti: "t-1" });
      expect(told(await stage.authenticate(token))).to.deep.equal({
        ...{ name: "gateway", roles: ["check", "revoke"], token: "t-1" },
      });
    });

    it("without a jti, and with unrelated claims", async () => {
      const token = await stage.tokenWith({ typ: "x", azp: 7, roles: ["prune"] });
      const principal = await stage.authenticate(token);
      expect(told(principal)).to.deep.equal({
        name: "gateway",
        roles: ["check", "revoke"],
        token: undefined,
      });
      expect(principal).not.to.have.property("token");
    });

    it("with further audiences", async () => {
      const token = await stage.tokenWith({ aud: ["other", RULES.audience] });
      expect((await stage.authenticate(token)).name).to.equal("gateway");
    });

    it("until the millisecond of its expiry, and from the millisecond of its nbf", async () => {
      const token = await stage.tokenWith({
        exp: (stage.clock.now() + 1) / 1000,
        nbf: stage.clock.now() / 1000,
      });
      expect((await stage.authenticate(token)).name).to.equal("gateway");
    });

    it("whose subject has the maximum length", async () => {
      for (const sub of ["x".repeat(255), `${"é".repeat(127)}x`]) {
        expect((await stage.authenticate(await stage.tokenWith({ sub }))).name).to.equal(sub);
      }
    });

    it("whose jti has the maximum length", async () => {
      const jti = "é".repeat(127);
      expect((await stage.authenticate(await stage.tokenWith({ jti }))).token).to.equal(jti);
    });
  });

  describe("reads the authorization metadata", () => {
    for (const scheme of ["Bearer ", "bearer ", "BEARER   "]) {
      it(`with the scheme ${JSON.stringify(scheme)}`, async () => {
        expect((await stage.bearers.authenticate([scheme + (await stage.tokenWith())])).name).to.equal(
          "gateway",
        );
      });
    }

    it("and refuses other than a single bearer token, without repeating it", async () => {
      const token = await stage.tokenWith();
      const good = `Bearer ${token}`;
      await stage.bearers.authenticate([good]);
      for (const metadata of [
        [],
        [good, good],
        [good, "Basic c4n4ry"],
        ["Basic c4n4ry", good],
        [Buffer.from(good)],
        [[good]],
        [undefined],
        [""],
        ["Bearer"],
        ["Bearer "],
        [token],
        [`Bearer${token}`],
        [`Bearer\t${token}`],
        [`Basic ${token}`],
        [` ${good}`],
        [`${good} `],
        [`${good}\n`],
        [`${good}, Bearer ${token}`],
        [`${good},${token}`],
        ["Bearer é.é.é"],
      ]) {
        expect(await stage.refusalOf(metadata)).to.equal(
          "the authorization metadata must be a single value: Bearer and the token",
        );
      }
    });
  });

  describe("reads the roles", () => {
    const SCOPES: readonly [scope: unknown, roles: readonly string[]][] = [
      ["check", ["check"]],
      ["prune list revoke check", ["check", "revoke", "list", "prune"]],
      ["openid  check profile ", ["check"]],
      [
        ["list", "check"],
        ["check", "list"],
      ],
      [["check list"], []],
      [[["check"]], []],
      ["", []],
      ["CHECK Revoke", []],
      ["checkrevoke check,revoke check\trevoke", []],
      ["blacklist:check", []],
      ["*", []],
      [undefined, []],
      [null, []],
      [7, []],
      [true, []],
      [{ check: true }, []],
      [[], []],
    ];
    for (const [scope, roles] of SCOPES) {
      it(`${JSON.stringify(roles)} from ${JSON.stringify(scope) ?? "no scope"}`, async () => {
        expect([...(await stage.authenticate(await stage.tokenWith({ scope }))).roles]).to.deep.equal(roles);
      });
    }

    it("only from the configured claim", async () => {
      for (const scopeClaim of ["scp", "https://corp.example/roles", "constructor", "__proto__"]) {
        stage.bearers = stage.bearersWith({ ...RULES, scopeClaim });
        const payload = JSON.stringify({ ...stage.claims(), scope: "prune", x: 0 });
        const token = await stage.rawToken(
          payload.replace('"x":0', `${JSON.stringify(scopeClaim)}:["list"]`),
        );
        expect([...(await stage.authenticate(token)).roles], scopeClaim).to.deep.equal(["list"]);
        expect([...(await stage.authenticate(await stage.tokenWith())).roles], scopeClaim).to.deep.equal([]);
      }
    });
  });
});
