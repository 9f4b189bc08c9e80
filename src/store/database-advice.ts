/** Advice by the error code of the operating system or the driver, for servers that cannot be reached. */
const BY_CODE: Readonly<Record<string, string>> = {
  ENOTFOUND: "check the host in DATABASE_URL",
  EAI_AGAIN: "check the host in DATABASE_URL, and whether names can be looked up here",
  ECONNREFUSED: "nothing listens there: start the database, or check host and port in DATABASE_URL",
  ETIMEDOUT: "check host and port in DATABASE_URL, and what lies between",
  EHOSTUNREACH: "check the host in DATABASE_URL, and what lies between",
  HANDSHAKE_NO_SSL_SUPPORT: "let the database offer TLS, or set DATABASE_TLS=off",
  HANDSHAKE_SSL_ERROR: "check DATABASE_CA_FILE, and that the certificate names the host in DATABASE_URL",
};

/** Advice by the error number of MySQL or MariaDB, for problems of an account or a database. */
const BY_ERROR_NUMBER: Readonly<Record<number, string>> = {
  1044: "grant the user its privileges on the database in DATABASE_URL",
  1045: "check user and password in DATABASE_URL, and whether the user must come over TLS (DATABASE_CA_FILE)",
  1049: "create that database, or check its name in DATABASE_URL",
  1130: "let the user log in from this machine",
  1142: "grant the user that privilege, or use the user for migrations",
  1698: "check user and password in DATABASE_URL",
  3159: "set DATABASE_CA_FILE: the server takes connections over TLS alone",
};

/** Advice for an operator about a database error of a command; undefined if there is none beyond the error itself. */
export function databaseAdvice(error: unknown): string | undefined {
  const { code, errno } = (error ?? {}) as { code?: string; errno?: number };
  return BY_ERROR_NUMBER[errno ?? 0] ?? BY_CODE[code ?? ""];
}
