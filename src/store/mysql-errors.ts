/**
 * Errors by which MySQL or MariaDB reports that a statement, or a value in it, is wrong: the same statement fails however often it
 * is retried. Selected by number, because SQLSTATE does not distinguish: class 42 also holds limits of an account (1203, 1226),
 * missing privileges (1044, 1142, 1143) and missing tables (1146), which an operator can repair meanwhile.
 *
 * All other errors make the database unavailable, including unknown numbers. That covers a missing column (1054): the statements
 * are constant and tested, so the table is a different one at the moment, as in the middle of a restore. It also covers a duplicate
 * key (1062), by which a commit detects that its transaction was rolled back (see `commitPacket`).
 */
const STATEMENT_FAULTS: ReadonlySet<number> = new Set([
  1052, // ER_NON_UNIQ_ERROR
  1064, // ER_PARSE_ERROR
  1065, // ER_EMPTY_QUERY
  1066, // ER_NONUNIQ_TABLE
  1136, // ER_WRONG_VALUE_COUNT_ON_ROW
  1149, // ER_SYNTAX_ERROR
  1210, // ER_WRONG_ARGUMENTS
  1241, // ER_OPERAND_COLUMNS
  1242, // ER_SUBQUERY_NO_1_ROW
  1264, // ER_WARN_DATA_OUT_OF_RANGE
  1265, // WARN_DATA_TRUNCATED
  1292, // ER_TRUNCATED_WRONG_VALUE
  1300, // ER_INVALID_CHARACTER_STRING
  1366, // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
  1367, // ER_ILLEGAL_VALUE_FOR_TYPE
  1390, // ER_PS_MANY_PARAM
  1406, // ER_DATA_TOO_LONG
  1411, // ER_WRONG_VALUE_FOR_TYPE
  1582, // ER_WRONG_PARAMCOUNT_TO_NATIVE_FCT
  1583, // ER_WRONG_PARAMETERS_TO_NATIVE_FCT
  1690, // ER_DATA_OUT_OF_RANGE
  3819, // ER_CHECK_CONSTRAINT_VIOLATED, of MySQL
  4025, // ER_CONSTRAINT_FAILED, of MariaDB
]);

/** Errors of a server, or of a session, that takes no writes. The commit packet raises 1048 on purpose (see `commitPacket`). */
const WRITE_REFUSALS: ReadonlySet<number> = new Set([
  1036, // ER_OPEN_AS_READONLY
  1048, // ER_BAD_NULL_ERROR
  1290, // ER_OPTION_PREVENTS_STATEMENT
  1792, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
  1836, // ER_READ_ONLY_MODE
  1874, // ER_INNODB_READ_ONLY
  3989, // ER_SCHEMA_READ_ONLY, of MySQL
]);

export function isStatementFault(error: unknown): boolean {
  return isFromServer(error) && STATEMENT_FAULTS.has(error.errno);
}

export function refusesWrites(error: unknown): boolean {
  return isFromServer(error) && WRITE_REFUSALS.has(error.errno);
}

/** Whether the server sent the error; `errno` has another meaning in errors of the driver or the network. */
export function isFromServer(error: unknown): error is { readonly errno: number } {
  const { errno, sqlState } = (error ?? {}) as { errno?: unknown; sqlState?: unknown };
  return typeof errno === "number" && sqlState !== undefined;
}

/** Advice by the code of an error of the operating system or the driver. */
const BY_CODE: Readonly<Record<string, string>> = {
  ENOTFOUND: "check the host in DATABASE_URL",
  EAI_AGAIN: "check the host in DATABASE_URL, and whether names can be looked up here",
  ECONNREFUSED: "nothing listens there: start the database, or check host and port in DATABASE_URL",
  ETIMEDOUT: "check host and port in DATABASE_URL, and what lies between",
  EHOSTUNREACH: "check the host in DATABASE_URL, and what lies between",
  HANDSHAKE_NO_SSL_SUPPORT: "let the database offer TLS, or set DATABASE_TLS=off",
  HANDSHAKE_SSL_ERROR: "check DATABASE_CA_FILE, and that the certificate names the host in DATABASE_URL",
};

/** Advice by the number of an error of MySQL or MariaDB. */
const BY_ERROR_NUMBER: Readonly<Record<number, string>> = {
  1044: "grant the user its privileges on the database in DATABASE_URL",
  1045: "check user and password in DATABASE_URL, and whether the user must come over TLS (DATABASE_CA_FILE)",
  1049: "create that database, or check its name in DATABASE_URL",
  1130: "let the user log in from this machine",
  1142: "grant the user that privilege, or use the user for migrations",
  1698: "check user and password in DATABASE_URL",
  3159: "set DATABASE_CA_FILE: the server takes connections over TLS alone",
};

/** Advice for an operator about a database error; undefined if there is none. */
export function databaseAdvice(error: unknown): string | undefined {
  const { code, errno } = (error ?? {}) as { code?: string; errno?: number };
  return BY_ERROR_NUMBER[errno ?? 0] ?? BY_CODE[code ?? ""];
}
