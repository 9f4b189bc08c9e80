import { expect } from "chai";
import { parseCertificateRoles } from "../../src/auth/certificate-roles.ts";
import { thrownBy } from "../support/rejection.ts";

describe("parseCertificateRoles", () => {
  it("reads pairs of a name and its roles, separated by white space", () => {
    const text =
      " DNS:gateway.internal=check\n\tURI:spiffe://corp/auth?a=b=check,revoke email:ops@corp.example=prune,list ";
    expect([...parseCertificateRoles(text)]).to.deep.equal([
      ["DNS:gateway.internal", ["check"]],
      ["URI:spiffe://corp/auth?a=b", ["check", "revoke"]],
      ["email:ops@corp.example", ["prune", "list"]],
    ]);
  });

  it("reads none as a certificate without roles", () => {
    expect([...parseCertificateRoles("DNS:proxy.internal=none DNS:none=check")]).to.deep.equal([
      ["DNS:proxy.internal", []],
      ["DNS:none", ["check"]],
    ]);
  });

  it("reads an empty text as no certificates", () => {
    expect(parseCertificateRoles(" \n").size).to.equal(0);
  });

  const PAIRS =
    "must be pairs such as DNS:gateway.internal=check,revoke; the names are of kind DNS, URI or email, the roles check, revoke, list, prune, or none alone for a certificate whose callers authenticate by token";
  const REFUSED = {
    c4n4ry: PAIRS,
    "DNS:c4n4ry": PAIRS,
    "DNS:c4n4ry=": PAIRS,
    "DNS:=check": PAIRS,
    "c4n4ry=check": PAIRS,
    "CN:c4n4ry=check": PAIRS,
    "dns:c4n4ry=check": PAIRS,
    "IP Address:10.0.0.7=check": PAIRS,
    "DNS:c4n4ry=check,": PAIRS,
    "DNS:c4n4ry=check, revoke": PAIRS,
    "DNS:c4n4ry=Check": PAIRS,
    "DNS:c4n4ry=admin": PAIRS,
    "DNS:c4n4ry=check,admin": PAIRS,
    "DNS:c4n4ry=none,check": PAIRS,
    "DNS:c4n4ry=None": PAIRS,
    "DNS:a=check DNS:c4n4ry=*": PAIRS,
    "DNS:c4n4ry=check DNS:c4n4ry=revoke": "names one certificate twice",
  };
  for (const [text, message] of Object.entries(REFUSED)) {
    it(`refuses ${JSON.stringify(text)} without repeating it`, () => {
      const error = thrownBy(() => parseCertificateRoles(text)) as Error;
      expect(error).to.be.instanceOf(RangeError).and.include({ message });
    });
  }

  it("accepts names up to the maximum stored length", () => {
    const longest = `DNS:${"x".repeat(251)}`;
    expect([...parseCertificateRoles(`${longest}=revoke`).keys()]).to.deep.equal([longest]);
    for (const name of [`${longest}x`, `DNS:${"é".repeat(126)}`, "DNS:a\0"]) {
      expect(() => parseCertificateRoles(`${name}=revoke`)).to.throw(
        RangeError,
        /^has an invalid certificate name: it must (be at most 255 bytes of UTF-8|not contain NUL)$/,
      );
    }
  });
});
