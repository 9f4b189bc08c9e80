import { expect } from "chai";
import { isAcceptedType, isSecurityEvent } from "../../src/auth/token-type.ts";

describe("isAcceptedType", () => {
  it("accepts the types of access, refresh and ID tokens, and an absent type", () => {
    const accepted = [
      ...[undefined, null, 7, [], "", "JWT", "jwt", "JOSE", "Bearer", "Custom", "access_token", "id_token"],
      ...["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT", "rt+jwt", "id+jwt"],
      ...["refresh_token+jwt", "application/okta-internal-at+jwt", "application/jwt"],
    ];
    expect(accepted.filter((typ) => !isAcceptedType(typ))).to.deep.equal([]);
  });

  it("refuses the media type of another kind, known or not, in any spelling", () => {
    const others = [
      ...["logout+jwt", "LOGOUT+JWT", "Logout+Jwt", "application/logout+jwt", " logout+jwt ", "secevent+jwt"],
      ...["dpop+jwt", "token-introspection+jwt", "oauth-authz-req+jwt", "vc+jwt", "kb+jwt", "vc+sd-jwt"],
      ...[
        "dc+sd-jwt",
        "client-authentication+jwt",
        "entity-statement+jwt",
        "of-tomorrow+jwt",
        "+jwt",
        "JOSE+JSON",
      ],
      ...["logout", "logout_token", "backchannel-logout", "secevent", "dpop", "passport"],
      ...["format+jwt", "not-an-access+jwt", "at+jwt+x", "at+sd-jwt"],
    ];
    expect(others.filter(isAcceptedType)).to.deep.equal([]);
  });
});

describe("isSecurityEvent", () => {
  const LOGOUT = "http://schemas.openid.net/event/backchannel-logout";

  it("recognizes an events claim whose members are named by URIs", () => {
    const events = [
      { [LOGOUT]: {} },
      { [LOGOUT]: null, more: 1 },
      [LOGOUT],
      { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {} },
      { "urn:ietf:params:scim:event:feed:add": {} },
    ];
    expect(events.filter((each) => !isSecurityEvent({ events: each }))).to.deep.equal([]);
  });

  it("ignores other events claims", () => {
    const events = [
      undefined,
      null,
      true,
      "signup",
      LOGOUT,
      7,
      [],
      {},
      ["a"],
      { created: 1 },
      [{ [LOGOUT]: {} }],
    ];
    expect(events.filter((each) => isSecurityEvent({ events: each }))).to.deep.equal([]);
  });
});
