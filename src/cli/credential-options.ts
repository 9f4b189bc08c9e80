import { existsSync, readFileSync, statSync } from "node:fs";
import { type Command, Option } from "commander";
import { type BearerToken, bearerTokenProblem } from "../client/authorization.ts";
import { type ClientCredentials, clientCredentials, type Tls } from "../client/credentials.ts";
import { isRawToken } from "../raw-token.ts";
import { settingProblem } from "../text/setting-text.ts";
import { UsageError } from "./errors.ts";
import type { CliIo } from "./io.ts";

/** The operator's credentials and trusted CAs. Not parsed by commander, which would quote a secret in its errors. */
export interface CredentialOptions {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly cacert?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly tls?: boolean;
}

const OPTIONS = {
  token: {
    flags: "--token <token>",
    variable: "TOKEN_BLACKLIST_TOKEN",
    text: "the caller's bearer token; --token-file keeps it out of the process list",
  },
  tokenFile: {
    flags: "--token-file <file>",
    variable: "TOKEN_BLACKLIST_TOKEN_FILE",
    text: "a file with the caller's bearer token, read again for each call",
  },
  cacert: {
    flags: "--cacert <file>",
    variable: "TOKEN_BLACKLIST_CACERT",
    text: "use TLS, and trust only these CAs",
  },
  cert: {
    flags: "--cert <file>",
    variable: "TOKEN_BLACKLIST_CERT",
    text: "use TLS, and authenticate with this certificate",
  },
  key: {
    flags: "--key <file>",
    variable: "TOKEN_BLACKLIST_KEY",
    text: "the private key of --cert",
  },
  tls: {
    flags: "--tls",
    variable: "TOKEN_BLACKLIST_TLS",
    text: "use TLS, and trust the CAs that Node.js trusts",
  },
} as const;

type Environment = CliIo["env"];

/** The variables that {@link credentialsFrom} reads. */
export const CREDENTIAL_VARIABLES: readonly string[] = Object.values(OPTIONS).map(({ variable }) => variable);

export function addCredentialOptions(command: Command): Command {
  for (const { flags, variable, text } of Object.values(OPTIONS)) {
    const option = new Option(flags, `${text} (default: ${variable})`);
    command.addOption(option.helpGroup("Credentials (certificates and keys in PEM):"));
  }
  return command;
}

/** Reads the options, and for absent options the environment. Throws a {@link UsageError} that quotes no secret. */
export function credentialsFrom(options: CredentialOptions, env: Environment): ClientCredentials {
  return clientCredentials({ token: tokenFrom(options, env), tls: tlsFrom(options, env) });
}

function tokenFrom(options: CredentialOptions, env: Environment): BearerToken | undefined {
  // Either option takes precedence over both variables.
  const variables = options.token === undefined && options.tokenFile === undefined ? env : {};
  const token = optionOrVariable("token", options, variables);
  const file = optionOrVariable("tokenFile", options, variables);
  if (token !== undefined && file !== undefined) {
    throw new UsageError(`${token.name} and ${file.name} are both set: choose one`);
  }
  if (file !== undefined && isRawToken(file.text)) {
    throw new UsageError(`${file.name} must be the name of a file that contains the token, not the token`);
  }
  if (file !== undefined) return reloadedToken(file);
  if (token === undefined) return undefined;
  if (isPath(token.text)) {
    const instead = token.name === OPTIONS.token.variable ? OPTIONS.tokenFile.variable : "--token-file";
    throw new UsageError(`${token.name} must be the token, not a file name: use ${instead} for a file`);
  }
  const problem = bearerTokenProblem(token.text);
  if (problem !== undefined) throw new UsageError(`${token.name} ${problem}`);
  return token.text;
}

/** Whether `text` is a path rather than a token: no JWT contains a slash. */
function isPath(text: string): boolean {
  return !isRawToken(text) && (/^[~.]*[/\\]/.test(text) || existsSync(text));
}

function tlsFrom(options: CredentialOptions, env: Environment): Tls | true | undefined {
  const [ca, cert, key] = (["cacert", "cert", "key"] as const).map((name) =>
    optionOrVariable(name, options, env),
  );
  const isWanted = options.tls ?? isSetToYes(OPTIONS.tls.variable, env);
  if ((ca ?? cert ?? key) === undefined) return isWanted || undefined;
  if (cert === undefined && key !== undefined) throw withoutPartner(key, "cert");
  if (key === undefined && cert !== undefined) throw withoutPartner(cert, "key");
  return { ca: ca && contentOf(ca), cert: cert && contentOf(cert), key: key && contentOf(key) };
}

function withoutPartner({ name }: NamedValue, missing: "cert" | "key"): UsageError {
  return new UsageError(`${name} also needs --${missing}, or ${OPTIONS[missing].variable}`);
}

interface NamedValue {
  /** The name of the option or variable. Messages about a file show this, and neither the path nor the content. */
  readonly name: string;
  /** Its value: a token, or the path of a file. */
  readonly text: string;
}

function optionOrVariable(
  key: Exclude<keyof typeof OPTIONS, "tls">,
  options: CredentialOptions,
  env: Environment,
): NamedValue | undefined {
  const { flags, variable } = OPTIONS[key];
  const option = options[key];
  const text = option ?? (env[variable] || undefined);
  if (text === undefined) return undefined;
  const found = { name: option === undefined ? variable : flags.replace(/ .*/, ""), text };
  // A token is validated by tokenFrom.
  return key === "token" ? found : expectUnaltered(found);
}

/** Rejects text that a shell, an env file or an editor has altered, because it would name another file. Returns `value`. */
function expectUnaltered(value: NamedValue): NamedValue {
  const problem = settingProblem(value.text);
  if (problem !== undefined) throw new UsageError(`${value.name} ${problem}`);
  return value;
}

function isSetToYes(variable: string, env: Environment): boolean {
  const { text } = expectUnaltered({ name: variable, text: env[variable] || "no" });
  if (text !== "yes" && text !== "no") throw new UsageError(`${variable} must be yes or no`);
  return text === "yes";
}

function contentOf({ name, text: path }: NamedValue): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`the file of ${name} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** The token in a file, read again for each call because a long run outlives a token. Throws a {@link UsageError} if there is none now. */
function reloadedToken(file: NamedValue): BearerToken {
  let latest = readToken(file);
  // A pipe is empty after it has been read once.
  if (!statSync(file.text, { throwIfNoEntry: false })?.isFile()) return latest;
  return () => {
    try {
      latest = readToken(file);
    } catch {
      // The file is being replaced. The previous token may still be valid; otherwise the service rejects it.
    }
    return latest;
  };
}

function readToken(file: NamedValue): string {
  const token = contentOf(file).toString().trim();
  const problem = bearerTokenProblem(token);
  if (problem !== undefined) throw new UsageError(`the content of the file of ${file.name} ${problem}`);
  return token;
}
