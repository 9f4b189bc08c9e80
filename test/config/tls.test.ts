import { createPrivateKey } from "node:crypto";
import { expect } from "chai";
import { readConfig } from "../../src/config/config.ts";
import { type CertificateAndKey, createAuthority } from "../support/certificates.ts";
import { freshFolder } from "../support/shared.ts";
import { CANARY, problemsOf, writtenFile } from "./settings.ts";

describe("the settings of TLS", () => {
  let files: { TLS_CERT_FILE: string; TLS_KEY_FILE: string };
  let clients: { TLS_CLIENT_CA_FILE: string; TLS_CLIENT_ROLES: string };
  let file: string;

  before(async () => {
    const authority = await createAuthority();
    const { certificate, key } = await authority.issue([{ type: "dns", value: "localhost" }]);
    file = await writtenFile(authority.certificate);
    files = { TLS_CERT_FILE: await writtenFile(certificate), TLS_KEY_FILE: await writtenFile(key) };
    clients = { TLS_CLIENT_CA_FILE: file, TLS_CLIENT_ROLES: "DNS:gateway.internal=check,list" };
  });

  it("reads the files, and the roles of client certificates", () => {
    const { tls, certificateRoles, reflection } = readConfig({ ...files, ...clients }).security;
    expect({ tls, roles: [...(certificateRoles ?? [])], reflection }).to.deep.equal({
      tls: {
        certificate: files.TLS_CERT_FILE,
        key: files.TLS_KEY_FILE,
        clientCa: file,
        clientCrl: undefined,
      },
      roles: [["DNS:gateway.internal", ["check", "list"]]],
      reflection: false,
    });
  });

  it("requests no client certificates by default", () => {
    const { tls, certificateRoles, reflection } = readConfig(files).security;
    expect({ tls, certificateRoles, reflection }).to.deep.equal({
      tls: {
        ...{ certificate: files.TLS_CERT_FILE, key: files.TLS_KEY_FILE },
        ...{ clientCa: undefined, clientCrl: undefined },
      },
      certificateRoles: undefined,
      reflection: true,
    });
  });

  it("needs certificate and key together, and client CAs and roles together", () => {
    const PAIR = "TLS_CERT_FILE and TLS_KEY_FILE need each other: set both";
    const CLIENTS = "TLS_CLIENT_CA_FILE and TLS_CLIENT_ROLES need each other: set both or neither";
    const { TLS_CLIENT_CA_FILE, TLS_CLIENT_ROLES } = clients;
    expect([
      problemsOf({ TLS_CERT_FILE: files.TLS_CERT_FILE }),
      problemsOf({ TLS_KEY_FILE: files.TLS_KEY_FILE }),
      problemsOf({ TLS_CLIENT_CA_FILE }),
      problemsOf({ ...files, TLS_CLIENT_CA_FILE }),
      problemsOf({ ...files, TLS_CLIENT_ROLES }),
      problemsOf({ TLS_CLIENT_ROLES }),
    ]).to.deep.equal([[PAIR], [PAIR], [PAIR, CLIENTS], [CLIENTS], [CLIENTS], [CLIENTS]]);
  });

  it("accepts revocation lists only if the clients' CA has signed them", async () => {
    const [own, other] = [await createAuthority(), await createAuthority()];
    const { certificate, key } = await own.issue([{ type: "dns", value: "localhost" }]);
    const TLS_CLIENT_CRL_FILE = await writtenFile(await own.revoke([certificate]));
    const env = {
      ...{ TLS_CERT_FILE: await writtenFile(certificate), TLS_KEY_FILE: await writtenFile(key) },
      ...{ TLS_CLIENT_CA_FILE: await writtenFile(own.certificate), TLS_CLIENT_ROLES: "DNS:a.test=check" },
    };
    expect(readConfig({ ...env, TLS_CLIENT_CRL_FILE }).security.tls?.clientCrl).to.equal(TLS_CLIENT_CRL_FILE);
    const problemWith = async (crl: string) =>
      problemsOf({ ...env, TLS_CLIENT_CRL_FILE: await writtenFile(crl) });
    expect((await problemWith(await other.revoke([]))).join()).to.match(
      /has no revocation list signed by certificate number 1/,
    );
    expect((await problemWith(certificate)).join()).to.match(
      /must name a file that contains only revocation lists in PEM/,
    );
    expect(problemsOf({ TLS_CLIENT_CRL_FILE })).to.deep.equal([
      "TLS_CLIENT_CRL_FILE needs TLS_CLIENT_CA_FILE",
    ]);
  });

  it("refuses only carrier certificates if bearer tokens are not accepted", () => {
    const NO_ROLES =
      "TLS_CLIENT_ROLES must give a role to at least one certificate, unless bearer tokens are accepted (AUTH_...)";
    const only = {
      ...files,
      TLS_CLIENT_CA_FILE: file,
      TLS_CLIENT_ROLES: "DNS:a.test=none DNS:b.test=none",
    };
    expect(problemsOf(only)).to.deep.equal([NO_ROLES]);
    expect(
      readConfig({ ...only, TLS_CLIENT_ROLES: "DNS:a.test=none DNS:b.test=check" }).security.certificateRoles,
    ).to.deep.equal(
      new Map([
        ["DNS:a.test", []],
        ["DNS:b.test", ["check"]],
      ]),
    );
  });

  it("refuses missing files", () => {
    const gone = `${file}-${CANARY}`;
    const env = { TLS_CERT_FILE: gone, TLS_KEY_FILE: gone, TLS_CLIENT_CA_FILE: gone };
    const problems = problemsOf(env);
    for (const name of Object.keys(env)) {
      expect(problems).to.include(`${name} names a file that cannot be read (ENOENT)`);
    }
    expect(problems.join()).not.to.include(CANARY);
  });

  describe("whose files do not fit", () => {
    let one: CertificateAndKey;
    let other: CertificateAndKey;
    let authority: string;

    before(async () => {
      const issuer = await createAuthority();
      authority = issuer.certificate;
      one = await issuer.issue([{ type: "dns", value: "a.test" }]);
      other = await issuer.issue([{ type: "dns", value: "b.test" }]);
    });

    const encrypted = () =>
      createPrivateKey(one.key)
        .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: CANARY })
        .toString();
    const der = () => createPrivateKey(one.key).export({ type: "pkcs8", format: "der" }).toString("latin1");
    const BELONG = "TLS_KEY_FILE is not the key of the certificate in TLS_CERT_FILE";
    const TOGETHER = "use a certificate and the key it was issued for";
    const WRONG: readonly (readonly [string, () => [cert: string, key: string], string | RegExp])[] = [
      ["another certificate's key", () => [one.certificate, other.key], `${BELONG}: ${TOGETHER}`],
      [
        "the authority's certificate alone",
        () => [authority, one.key],
        `${BELONG}, which is a CA certificate: ${TOGETHER}`,
      ],
      [
        "a chain in the wrong order",
        () => [`${authority}\n${one.certificate}`, one.key],
        /^TLS_CERT_FILE does not begin with the certificate of TLS_KEY_FILE/,
      ],
      [
        "the two files exchanged",
        () => [one.key, one.certificate],
        /^TLS_CERT_FILE names a file with a private key and no certificate/,
      ],
      [
        "the certificate twice",
        () => [one.certificate, one.certificate],
        /^TLS_KEY_FILE names a file with a certificate and no private key/,
      ],
      [
        "a chain of files that were joined without a line break",
        () => [`${one.certificate.trim()}${authority}`, one.key],
        "TLS_CERT_FILE names a file whose certificate number 1 cannot be read",
      ],
      [
        "an encrypted key",
        () => [one.certificate, encrypted()],
        /^TLS_KEY_FILE names a key that is encrypted/,
      ],
      ["an empty certificate", () => ["", one.key], "TLS_CERT_FILE names a file that is empty"],
      ["an empty key", () => [one.certificate, "\n"], "TLS_KEY_FILE names a file that is empty"],
      [
        "a key in DER",
        () => [one.certificate, der()],
        /^TLS_KEY_FILE names a file without a private key in PEM/,
      ],
      [
        "a certificate that was cut off",
        () => [one.certificate.slice(0, 200), one.key],
        /^TLS_CERT_FILE names a file without a certificate/,
      ],
      [
        "a certificate with a hole",
        () => [one.certificate.slice(0, 100) + one.certificate.slice(150), one.key],
        /^TLS_CERT_FILE names a file whose certificate number 1 cannot be read/,
      ],
      [
        "a key with a hole",
        () => [one.certificate, one.key.slice(0, 60) + one.key.slice(80)],
        "TLS_KEY_FILE names a private key that cannot be read",
      ],
    ];
    for (const [what, contents, says] of WRONG) {
      it(`reports one problem that names the setting and repeats nothing: ${what}`, async () => {
        const [cert, key] = contents();
        const env = { TLS_CERT_FILE: await writtenFile(cert), TLS_KEY_FILE: await writtenFile(key) };
        const problems = problemsOf(env);
        expect(problems).to.have.length(1);
        if (typeof says === "string") expect(problems[0]).to.equal(says);
        else expect(problems[0]).to.match(says);
        expect(problems.join()).not.to.match(/\n|MI[GIH]/);
      });
    }

    it("accepts a chain in the right order, and one file for certificate and key", async () => {
      const both = await writtenFile([one.key, one.certificate, authority, ""].join("\r\n"));
      readConfig({ TLS_CERT_FILE: both, TLS_KEY_FILE: both });
    });

    it("refuses CAs of which one is truncated or hidden by a byte order mark, since its clients would be rejected", async () => {
      const pair = {
        TLS_CERT_FILE: await writtenFile(one.certificate),
        TLS_KEY_FILE: await writtenFile(one.key),
      };
      const says = (setting: string) => [
        `${setting} names a file with a certificate that is truncated, or does not begin at the beginning of a line (is there a byte order mark?)`,
      ];
      for (const pem of [
        `${authority}\n${one.certificate.slice(0, 300)}`,
        `\uFEFF${authority}\n${one.certificate}`,
      ]) {
        const file = await writtenFile(pem);
        expect([
          problemsOf({ ...pair, TLS_CLIENT_ROLES: "DNS:a.test=check", TLS_CLIENT_CA_FILE: file }),
          problemsOf({ DATABASE_CA_FILE: file }),
        ]).to.deep.equal([says("TLS_CLIENT_CA_FILE"), says("DATABASE_CA_FILE")]);
      }
    });

    it("does not treat an empty TLS_CLIENT_CA_FILE as the CAs that Node.js trusts, and refuses a folder", async () => {
      const pair = {
        TLS_CERT_FILE: await writtenFile(one.certificate),
        TLS_KEY_FILE: await writtenFile(one.key),
      };
      const roles = { TLS_CLIENT_ROLES: "DNS:a.test=check" };
      expect([
        problemsOf({ ...pair, ...roles, TLS_CLIENT_CA_FILE: await writtenFile("") }),
        problemsOf({ ...pair, ...roles, TLS_CLIENT_CA_FILE: await freshFolder() }),
        problemsOf({ ...pair, TLS_KEY_FILE: await freshFolder() }),
      ]).to.deep.equal([
        ["TLS_CLIENT_CA_FILE names a file that is empty"],
        ["TLS_CLIENT_CA_FILE names a file that cannot be read (EISDIR)"],
        ["TLS_KEY_FILE names a file that cannot be read (EISDIR)"],
      ]);
    });
  });

  it("explains problems of certificate roles without repeating them", () => {
    expect(problemsOf({ ...files, ...clients, TLS_CLIENT_ROLES: `DNS:${CANARY}=admin` })[0]).to.equal(
      "TLS_CLIENT_ROLES must be pairs such as DNS:gateway.internal=check,revoke; the names are of kind DNS, URI or email, the roles check, revoke, list, prune, or none alone for a certificate whose callers authenticate by token",
    );
  });

  describe("on a non-loopback address", () => {
    const REACHED =
      "LISTEN_ADDRESS must be a loopback address, unless TLS (TLS_CERT_FILE, TLS_KEY_FILE) and authentication (AUTH_..., or TLS_CLIENT_CA_FILE and TLS_CLIENT_ROLES) are configured, or INSECURE=yes";
    const AUTH = { AUTH_JWKS_URL: "https://id.example/keys", AUTH_ISSUER: "i", AUTH_AUDIENCE: "a" };

    const ELSEWHERE = [
      "0.0.0.0:1",
      "[::]:1",
      "10.0.0.7:1",
      "[::ffff:127.0.0.1]:1",
      "db.internal:1",
      "127.evil.example:1",
    ];
    for (const LISTEN_ADDRESS of ELSEWHERE) {
      it(`requires TLS and authentication on ${LISTEN_ADDRESS}, unless INSECURE is set`, () => {
        const roles = clients.TLS_CLIENT_ROLES;
        expect([
          problemsOf({ LISTEN_ADDRESS }),
          problemsOf({ LISTEN_ADDRESS, INSECURE: "no" }),
          problemsOf({ LISTEN_ADDRESS, ...files }),
          problemsOf({ LISTEN_ADDRESS, ...AUTH }),
        ]).to.deep.equal(Array(4).fill([REACHED]));
        expect(problemsOf({ LISTEN_ADDRESS, TLS_CLIENT_ROLES: roles })).to.include(REACHED);
        const insecure = [
          { INSECURE: "yes" },
          { INSECURE: "yes", ...files },
          { INSECURE: "yes", ...AUTH },
          { INSECURE: "yes", ...files, ...AUTH },
          { ...files, ...AUTH },
          { ...files, ...clients },
          { ...files, ...clients, ...AUTH },
        ].map((env) => readConfig({ LISTEN_ADDRESS, ...env }).security.insecure);
        expect(insecure).to.deep.equal([true, true, true, false, false, false, false]);
      });
    }

    for (const LISTEN_ADDRESS of ["127.0.0.1:1", "127.1.2.3:1", "localhost:1", "LocalHost:1", "[::1]:1"]) {
      it(`is not needed on ${LISTEN_ADDRESS}, where INSECURE has no effect`, () => {
        const insecure = [{}, { INSECURE: "yes" }, files, AUTH].map(
          (env) => readConfig({ LISTEN_ADDRESS, ...env }).security.insecure,
        );
        expect(insecure).to.deep.equal([false, false, false, false]);
      });
    }

    it("does not apply to the admin address, which reveals nothing about tokens", () => {
      expect(readConfig({ ADMIN_ADDRESS: "0.0.0.0:9464" }).adminAddress.host).to.equal("0.0.0.0");
    });

    it("accepts only yes or no for INSECURE", () => {
      for (const INSECURE of ["true", "1", "YES", "on"]) {
        expect(problemsOf({ INSECURE })).to.deep.equal(["INSECURE must be yes or no"]);
      }
    });

    it("reports one problem if the address itself is invalid", () => {
      expect(problemsOf({ LISTEN_ADDRESS: "0.0.0.0" })).to.deep.equal([
        "LISTEN_ADDRESS must be host:port, such as 127.0.0.1:50051 or [::1]:50051",
      ]);
    });
  });
});
