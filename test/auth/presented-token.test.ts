import { expect } from "chai";
import { type PresentedCredentials, presentedToken } from "../../src/auth/presented-token.ts";
import { MAX_JWT_BYTES } from "../../src/limits.ts";
import { unsignedJwt } from "../support/unsigned-jwt.ts";

const LOGOUT = "http://schemas.openid.net/event/backchannel-logout";

const bearer = (claims: unknown) => `Bearer ${unsignedJwt(claims)}`;
const ofJti = (jti: unknown) => bearer({ sub: "alice", jti });

/** The results without and with bearer tokens. */
function both({ verifiedJtis = [], authorization = [] }: Partial<PresentedCredentials>): [unknown, unknown] {
  const judge = (unverifiedBearer: boolean) => {
    const { jti, ...rest } = presentedToken({ verifiedJtis, authorization }, { unverifiedBearer });
    return jti ?? Object.values(rest)[0];
  };
  return [judge(false), judge(true)];
}

type Cases = Record<
  string,
  [shown: Partial<PresentedCredentials>, expected: readonly [off: string, on: string]]
>;

function register(cases: Cases): void {
  for (const [name, [shown, expected]] of Object.entries(cases)) {
    it(name, () => expect(both(shown)).to.deep.equal(expected));
  }
}

describe("presentedToken", () => {
  const always = (text: string) => [text, text] as const;

  describe("returns the verified token", () => {
    register({
      "with an unusual jti": [{ verifiedJtis: [" ａb\uFEFFc,"] }, always(" ａb\uFEFFc,")],
      "named twice alike": [{ verifiedJtis: ["a", "a"] }, always("a")],
      "beside one without a jti": [{ verifiedJtis: [undefined, "a"] }, always("a")],
      "beside the bearer token that it is": [
        { verifiedJtis: ["a"], authorization: [ofJti("a")] },
        always("a"),
      ],
      "beside any bearer token if that is not read": [
        { verifiedJtis: ["a"], authorization: [ofJti("b")] },
        ["a", "malformed"],
      ],
      "not a bearer token without a jti": [
        { verifiedJtis: ["a"], authorization: [bearer({ sub: "alice" })] },
        ["a", "malformed"],
      ],
      "not an opaque bearer token": [
        { verifiedJtis: ["a"], authorization: ["Bearer opaque"] },
        ["a", "malformed"],
      ],
    });
  });

  describe("returns the bearer token if configured", () => {
    register({
      "of a single header": [{ authorization: [ofJti("a")] }, ["no-jti", "a"]],
      "in any case, after any number of spaces": [
        { authorization: [ofJti("a").replace("Bearer ", "bEARER   ")] },
        ["no-jti", "a"],
      ],
      "beside a verified one without a jti": [
        { verifiedJtis: [undefined], authorization: [ofJti("a")] },
        ["no-jti", "a"],
      ],
      "without verifying its signature": [
        { authorization: [`Bearer ${unsignedJwt({ jti: "a" }, { signature: "" })}`] },
        ["no-jti", "a"],
      ],
    });
  });

  describe("reports a missing token", () => {
    register({
      "without any credential": [{}, always("no-token")],
      "with one of another scheme": [{ authorization: ["Basic dXNlcjpwYXNz"] }, always("no-token")],
      "with an empty one": [{ authorization: [""] }, always("no-token")],
      "with a verified one without a jti": [{ verifiedJtis: [undefined] }, always("no-jti")],
      "with a bearer token without a jti": [{ authorization: [bearer({})] }, always("no-jti")],
    });
  });

  describe("reports several tokens, or a malformed one, as malformed", () => {
    const wrongJtis = { 7: 7, null: null, "a list": ["a"], "an object": { a: 1 }, true: true, empty: "" };
    const unfit = { ...wrongJtis, NUL: "a\0", "too long": "a".repeat(256), "a lone surrogate": "a\uD800" };
    register({
      "two verified ones": [{ verifiedJtis: ["a", "b"] }, always("malformed")],
      "that only look alike": [{ verifiedJtis: ["a", "A"] }, always("malformed")],
      "two headers, were they alike": [{ authorization: [ofJti("a"), ofJti("a")] }, always("malformed")],
      "two headers beside a verified one": [
        { verifiedJtis: ["a"], authorization: [ofJti("a"), ofJti("b")] },
        always("malformed"),
      ],
      "two headers, joined": [{ authorization: [`${ofJti("a")}, ${ofJti("b")}`] }, always("malformed")],
      "two headers of other schemes, joined": [
        { authorization: [`Basic dXNlcjpwYXNz,${ofJti("a")}`] },
        always("malformed"),
      ],
      "no token after the scheme": [{ authorization: ["Bearer"] }, always("malformed")],
      "two words after the scheme": [{ authorization: ["Bearer a b"] }, always("malformed")],
      "a tab after the scheme": [{ authorization: ["Bearer\ta"] }, always("malformed")],
      "a token without its scheme": [{ authorization: [unsignedJwt({ jti: "a" })] }, always("malformed")],
      "a token without the space": [
        { authorization: [`Bearer${unsignedJwt({ jti: "a" })}`] },
        always("malformed"),
      ],
      "a token behind a tab": [
        { authorization: [`Bearer\t${unsignedJwt({ jti: "a" })}`] },
        always("malformed"),
      ],
      "a token behind an underscore": [
        { authorization: [`Bearer_${unsignedJwt({ jti: "a" })}`] },
        always("malformed"),
      ],
      "a token with more behind it that is no ASCII": [
        { authorization: [`${ofJti("a")}\xa0`] },
        always("malformed"),
      ],
      "an opaque token": [{ authorization: ["Bearer 0815"] }, ["no-jti", "malformed"]],
      "an encrypted one": [{ authorization: ["Bearer a.b.c.d.e"] }, ["no-jti", "malformed"]],
      "claims that are no JSON": [{ authorization: ["Bearer e30.e3.x"] }, ["no-jti", "malformed"]],
      "claims that are no object": [{ authorization: [bearer(["jti"])] }, ["no-jti", "malformed"]],
      "claims that are no UTF-8": [
        {
          authorization: [`Bearer e30.${Buffer.from('{"jti":"a\xff"}', "latin1").toString("base64url")}.x`],
        },
        ["no-jti", "malformed"],
      ],
      "more bytes than a token may have": [
        { authorization: [ofJti("a").padEnd("Bearer ".length + MAX_JWT_BYTES + 1, "A")] },
        ["no-jti", "malformed"],
      ],
      "a verified raw token in a jti's place": [
        { verifiedJtis: [unsignedJwt({ jti: "a" })] },
        always("malformed"),
      ],
      "with its scheme": [{ verifiedJtis: [ofJti("a")] }, always("malformed")],
      "a bearer whose jti is a raw token": [
        { authorization: [ofJti(unsignedJwt({ jti: "a" }))] },
        ["no-jti", "malformed"],
      ],
      "a logout token that says so": [
        { authorization: [`Bearer ${unsignedJwt({ jti: "a" }, { typ: "logout+jwt" })}`] },
        ["no-jti", "malformed"],
      ],
      "a logout token of an issuer that writes no such type": [
        { authorization: [bearer({ jti: "a", events: { [LOGOUT]: {} } })] },
        ["no-jti", "malformed"],
      ],
      "a header that is no JSON": [{ authorization: ["Bearer e3.e30.x"] }, ["no-jti", "malformed"]],
      ...Object.fromEntries(
        Object.entries(unfit).flatMap(([what, jti]) => [
          [`a verified jti that is ${what}`, [{ verifiedJtis: [jti] }, always("malformed")]],
          [`a bearer's jti that is ${what}`, [{ authorization: [ofJti(jti)] }, ["no-jti", "malformed"]]],
        ]),
      ),
    });
  });

  it("accepts a token of the maximum size", () => {
    const authorization = [ofJti("a").padEnd("Bearer ".length + MAX_JWT_BYTES, "A")];
    expect(both({ authorization })).to.deep.equal(["no-jti", "a"]);
  });
});
