import { expect } from "chai";
import { misspelledSettings } from "../../src/config/config.ts";

const meantBy = (env: Record<string, string>) =>
  Object.fromEntries(misspelledSettings(env).map(({ variable, meant }) => [variable, meant]));

describe("misspellings", () => {
  it("names a variable that nearly equals a setting, with that setting", () => {
    const WRONG = {
      LISTEN_ADRESS: "LISTEN_ADDRESS",
      LISTEN_ADDRESS_: "LISTEN_ADDRESS",
      ADMIN_ADDRES: "ADMIN_ADDRESS",
      listen_address: "LISTEN_ADDRESS",
      "listen-address": "LISTEN_ADDRESS",
      DATABSE_URL: "DATABASE_URL",
      DATABASE_URI: "DATABASE_URL",
      DATABASE_URL_FIEL: "DATABASE_URL_FILE",
      AUTH_ISSUR: "AUTH_ISSUER",
      AUTH_ISUSER: "AUTH_ISSUER",
      AUTH_JWKS_URI: "AUTH_JWKS_URL",
      LOGLEVEL: "LOG_LEVEL",
      MAX_TOKEN_LIFETME: "MAX_TOKEN_LIFETIME",
      MISSING_JTIS: "MISSING_JTI",
      INDXE: "INDEX",
    };
    expect(meantBy(Object.fromEntries(Object.keys(WRONG).map((name) => [name, "x"])))).to.deep.equal(WRONG);
  });

  it("names a variable with the prefix of settings", () => {
    const WRONG = {
      LISTEN_PORT: "LISTEN_ADDRESS",
      TLS_CERT: "TLS_CERT_FILE",
      TLS_CA_FILE: "TLS_KEY_FILE",
      AUTH_KEYS_OF_ISSUER: "AUTH_ISSUER",
      DATABASE_HOST: "DATABASE_URL",
      TOKEN_BLACKLIST_DATABASE_URL: "DATABASE_URL",
    };
    const found = meantBy(Object.fromEntries(Object.keys(WRONG).map((name) => [name, "x"])));
    expect(Object.keys(found)).to.deep.equal(Object.keys(WRONG));
    expect(found).to.include({
      LISTEN_PORT: "LISTEN_ADDRESS",
      TLS_CERT: "TLS_CERT_FILE",
      DATABASE_HOST: "DATABASE_URL",
    });
    expect(found).to.include({ TOKEN_BLACKLIST_DATABASE_URL: "DATABASE_URL" });
  });

  it("names a variable with some of a setting's words, or their beginnings, in order", () => {
    const WRONG = {
      TLS_CA_FILE: "TLS_CLIENT_CA_FILE",
      TOKEN_LIFETIME: "MAX_TOKEN_LIFETIME",
      JWKS_URL: "AUTH_JWKS_URL",
      ADMIN_ADDR: "ADMIN_ADDRESS",
      CLOCK_TOLERANCE: "AUTH_CLOCK_TOLERANCE",
      INDEX_ENTRIES: "INDEX_MAX_ENTRIES",
      QUOTA_PER_SECOND: "QUOTA_ROWS_PER_SECOND",
      "export LISTEN_ADDRESS": "LISTEN_ADDRESS",
    };
    expect(meantBy(Object.fromEntries(Object.keys(WRONG).map((name) => [name, "x"])))).to.deep.equal(WRONG);
    expect(meantBy({ LOG_FILE: "x", LOG_DIR: "x", DATA_DIR: "x", CA: "x" })).to.deep.equal({});
    expect(meantBy({ DATABASE_FILE: "x" })).to.deep.equal({ DATABASE_FILE: "DATABASE_URL" });
  });

  it("ignores the variables that shells, containers, systemd, Kubernetes and Node.js set", () => {
    const USUAL = [
      "PATH HOME HOSTNAME LANG LC_ALL PWD OLDPWD SHLVL TERM USER LOGNAME SHELL TZ CI MAIL EDITOR PAGER DISPLAY _ TMPDIR",
      "NODE_VERSION NODE_ENV NODE_OPTIONS NODE_EXTRA_CA_CERTS YARN_VERSION NPM_TOKEN npm_config_loglevel npm_package_name",
      "SSL_CERT_FILE SSL_CERT_DIR SSL_KEY_FILE HTTP_PROXY https_proxy no_proxy OTEL_SERVICE_NAME OTEL_LOG_LEVEL LD_LIBRARY_PATH",
      "LISTEN_PID LISTEN_FDS LISTEN_FDNAMES INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET CREDENTIALS_DIRECTORY STATE_DIRECTORY MEMORY_PRESSURE_WATCH",
      "KUBERNETES_SERVICE_HOST KUBERNETES_PORT KUBERNETES_PORT_443_TCP_ADDR POD_NAME POD_IP NAMESPACE GOMAXPROCS",
      "MYSQL_HOST MYSQL_PASSWORD MARIADB_ROOT_PASSWORD REDIS_URL PGHOST AWS_REGION GITHUB_TOKEN SSH_AUTH_SOCK VERSION PORT HOST DEBUG TOKEN AUTH LEVEL",
      "TOKEN_BLACKLIST_ADDRESS TOKEN_BLACKLIST_TOKEN TOKEN_BLACKLIST_TOKEN_FILE TOKEN_BLACKLIST_CACERT TOKEN_BLACKLIST_TLS",
      "TEST_MYSQL_URL TEST_INDEX ADMIN_EMAIL ADMIN_PASSWORD LOG_FORMAT SHUTDOWN_HOOK",
    ].flatMap((names) => names.split(" "));
    const neighbours = ["TOKEN_BLACKLIST", "DATABASE", "AUTH", "INDEX", "TLS_PROXY"].flatMap((name) => [
      [`${name}_SERVICE_HOST`, "10.0.0.1"],
      [`${name}_SERVICE_PORT`, "50051"],
      [`${name}_SERVICE_PORT_GRPC`, "50051"],
      [`${name}_PORT`, "tcp://10.0.0.1:50051"],
      [`${name}_PORT_50051_TCP`, "tcp://10.0.0.1:50051"],
      [`${name}_PORT_50051_TCP_PROTO`, "tcp"],
      [`${name}_PORT_50051_TCP_PORT`, "50051"],
      [`${name}_PORT_50051_TCP_ADDR`, "10.0.0.1"],
    ]);
    const env = {
      ...Object.fromEntries(USUAL.map((name) => [name, "x"])),
      ...Object.fromEntries(neighbours),
    };
    expect(meantBy(env)).to.deep.equal({});
    expect(meantBy({ DATABASE_URL: "sqlite:x", DATABASE_HOST: "x", DATABASE_PASSWORD: "x" })).to.deep.equal(
      {},
    );
  });

  it("ignores empty variables, settings, and their NAME_FILE", () => {
    expect(meantBy({ LISTEN_ADRESS: "" })).to.deep.equal({});
    expect(
      meantBy({ LISTEN_ADDRESS: "x", LISTEN_ADDRESS_FILE: "x", TLS_CERT_FILE: "x", AUTH_JWKS_URL_FILE: "x" }),
    ).to.deep.equal({});
  });
});
