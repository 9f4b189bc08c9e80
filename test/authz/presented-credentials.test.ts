import { expect } from "chai";
import { isPreflight } from "../../src/authz/presented-credentials.ts";

type Headers = Readonly<Record<string, readonly string[]>>;

describe("isPreflight", () => {
  const PREFLIGHT: Headers = { origin: ["https://shop.example"], "access-control-request-method": ["PUT"] };
  const judge = (headers: Headers, method: string | undefined = "OPTIONS") =>
    isPreflight(method, (name) => headers[name] ?? []);

  it("recognizes a browser's preflight, with any announced headers", () => {
    expect([
      judge(PREFLIGHT),
      judge({ ...PREFLIGHT, "access-control-request-headers": ["authorization"], "user-agent": ["x"] }),
      judge({ ...PREFLIGHT, origin: ["null"] }),
      // Some proxies set the content length of every request.
      judge({ ...PREFLIGHT, "content-length": ["0"] }),
    ]).to.deep.equal([true, true, true, true]);
  });

  it("rejects other methods", () => {
    for (const method of ["GET", "POST", "options", "OPTIONS ", "OPTIONS,GET", ""]) {
      expect([method, judge(PREFLIGHT, method)]).to.deep.equal([method, false]);
    }
    expect(isPreflight(undefined, (name) => PREFLIGHT[name] ?? [])).to.equal(false);
  });

  for (const [what, changed] of Object.entries({
    "no origin": { origin: [] },
    "an empty origin": { origin: [""] },
    "two origins": { origin: ["https://a.example", "https://b.example"] },
    "no method asked for": { "access-control-request-method": [] },
    "two methods asked for": { "access-control-request-method": ["PUT", "GET"] },
    "a bearer token": { authorization: ["Bearer x"] },
    "another credential": { authorization: ["Basic x"] },
    "an empty credential": { authorization: [""] },
    "a cookie": { cookie: ["session=1"] },
    "another method in a header": { "x-http-method-override": ["DELETE"] },
    "a body's type": { "content-type": ["application/x-www-form-urlencoded"] },
    "a body": { "content-length": ["7"] },
    "a body of unknown length": { "transfer-encoding": ["chunked"] },
  })) {
    it(`rejects a request with ${what}`, () => {
      expect(judge({ ...PREFLIGHT, ...changed })).to.equal(false);
    });
  }
});
