import type { CommanderError } from "commander";

/** Names that operators try, by the command that is meant. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  blacklist: ["revoke", "add", "ban", "block", "deny", "invalidate", "logout", "blocklist", "denylist"],
  check: ["verify", "is-blacklisted", "isblacklisted", "is-revoked", "introspect", "get", "query", "lookup"],
  list: ["ls", "show", "search", "find"],
  serve: ["start", "run", "server", "daemon"],
  prune: ["cleanup", "clean", "purge", "gc", "expire"],
  export: ["backup", "dump", "save"],
  import: ["restore", "load"],
  health: ["ping", "ready", "healthcheck", "status", "live"],
  migrate: ["migration", "migrations", "upgrade"],
};

// Includes the commands' own names, because commander does not recognize them in capitals.
const COMMAND_OF = new Map(
  Object.entries(SYNONYMS).flatMap(([command, words]) =>
    [command, ...words].map((word) => [word, command] as const),
  ),
);

const UNDO_COMMANDS = new Set([
  ...["unrevoke", "unblacklist", "unblock", "unban", "restore-token"],
  ...["remove", "delete", "rm", "allow", "whitelist"],
]);

/** Options of other servers, and the corresponding setting of `serve`. Any other option is answered with ADDRESS_SETTING. */
const SETTINGS: readonly (readonly [tried: RegExp, setting: string])[] = [
  [/^--admin-address$/, "ADMIN_ADDRESS=127.0.0.1:9464"],
  [/^--(database|database-url|db)$/, "DATABASE_URL=mysql://user:password@host:3306/database"],
  [/^--(log-level|verbose)$/, "LOG_LEVEL=debug"],
  [/^--cert$/, "TLS_CERT_FILE=server.pem"],
  [/^--key$/, "TLS_KEY_FILE=server.key"],
  [/^--tls$/, "TLS_CERT_FILE=server.pem TLS_KEY_FILE=server.key"],
];
const ADDRESS_SETTING = "LISTEN_ADDRESS=127.0.0.1:50051";

/** Hints for arguments of commands that take none. */
const ARGUMENT_HINTS: Readonly<Record<string, string>> = {
  list: "list takes no arguments: name a token with --jti.",
  export: "export takes no arguments: name a file with --output, a token with --jti.",
  health: "health takes no arguments: name the service with --admin-address.",
};

/** Options that operators try with the commands that call a service, and a hint to the option meant. */
const OPTION_HINTS: readonly (readonly [tried: RegExp, commands: RegExp, hint: string])[] = [
  [
    /^--(ttl|exp|expiry|expires|expires-in|expiration|until)$/,
    /^blacklist$/,
    "Set the expiry with --expires-at: a time, or a duration from now such as 1h.",
  ],
  [
    /^--(json|ndjson|format)$/,
    /^(blacklist|check|list|prune|import)$/,
    "Set the format with --output: table, json or ndjson.",
  ],
  [/^--(file|out|output-file|to)$/, /^export$/, "Set the file with --output."],
  [
    /^--(address|port)$/,
    /^health$/,
    "health uses the admin address, not the gRPC address: --admin-address 127.0.0.1:9464.",
  ],
  [
    /^--(host|port|server|url|endpoint|target)$/,
    /^(blacklist|check|list|prune|export|import)$/,
    "Set the service's address with --address: host:port.",
  ],
];

/** A line for the operator about what the arguments rejected by commander probably meant; undefined if unknown. */
export function hintFor({ code, message }: CommanderError, argv: readonly string[]): string | undefined {
  const command = argv.find((argument) => !argument.startsWith("-")) ?? "";
  if (code === "commander.unknownCommand") return forCommand(command);
  if (code === "commander.unknownOption") {
    return forOption(/unknown option '([^'=]*)/.exec(message)?.[1] ?? "", command);
  }
  if (code !== "commander.excessArguments") return undefined;
  return command === "serve" ? forServe("") : ARGUMENT_HINTS[command];
}

function forCommand(word: string): string | undefined {
  const lower = word.toLowerCase();
  if (UNDO_COMMANDS.has(lower)) {
    return "A revocation cannot be undone: an entry is kept until its token has expired. Issue a new token instead.";
  }
  const meant = COMMAND_OF.get(lower);
  return meant === undefined
    ? undefined
    : `Did you mean token-blacklist ${meant}? See token-blacklist ${meant} --help.`;
}

function forOption(option: string, command: string): string | undefined {
  const meant = OPTION_HINTS.find(([tried, commands]) => tried.test(option) && commands.test(command));
  if (meant !== undefined) return meant[2];
  if (command === "serve") return forServe(option);
  if (command !== "blacklist" && command !== "check") return undefined;
  return `Put a jti that begins with a hyphen after --, and options before it: token-blacklist ${command} [options] -- JTI`;
}

function forServe(option: string): string {
  const [, example] = SETTINGS.find(([tried]) => tried.test(option)) ?? ["", ADDRESS_SETTING];
  return `serve takes its settings from environment variables: ${example} token-blacklist serve`;
}
