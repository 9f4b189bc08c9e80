import { nearestOf } from "../text/nearest-word.ts";
import type { Environment } from "./environment.ts";

/** A variable that is set but not read, and resembles a setting. */
export interface Misspelling {
  readonly variable: string;
  /** The setting that was probably meant. */
  readonly meant: string;
}

/** Beginnings of our settings' names with which few variables of other programs begin. */
const PREFIXES = /^(AUTHZ?|AUDIT|DATABASE|INDEX|LISTEN|PRUNE|QUOTA|TLS|TOKEN)_/;
/** Prefixes that operators add to our settings where several programs share an environment. */
const OUR_PREFIX = /^(TOKEN_?BLACKLIST|TB)_/;
/** Variables of systemd's socket activation, of OpenSSL, and of the commands that call a service: `serve` does not read them. */
const NOT_OURS =
  /^(LISTEN_(PID|FDS|FDNAMES|PIDFDID)|SSL_\w+|TOKEN_BLACKLIST_(ADDRESS|TOKEN|TOKEN_FILE|CACERT|CERT|KEY|TLS))$/;
/** Variables by which Kubernetes and Docker tell each container of other services. */
const SERVICE_LINK_NAME = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$/;
const SERVICE_LINK_VALUE = /^(tcp|udp|sctp):\/\//;

/** Variables of `env` that are not in `known` but resemble a known one. Their values are not reported. */
export function misspellings(env: Environment, known: ReadonlySet<string>): Misspelling[] {
  const found: Misspelling[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!value || known.has(variable) || NOT_OURS.test(variable)) continue;
    if (SERVICE_LINK_NAME.test(variable) || SERVICE_LINK_VALUE.test(value)) continue;
    const meant = settingMeantBy(variable, known, env);
    if (meant !== undefined) found.push({ variable, meant });
  }
  return found;
}

export function describeMisspelling({ variable, meant }: Misspelling): string {
  return `the variable ${variable} is not a setting: did you mean ${meant}?`;
}

function settingMeantBy(variable: string, known: ReadonlySet<string>, env: Environment): string | undefined {
  // From a shell file, docker --env-file takes the word `export` as a part of the name.
  const name = variable
    .replace(/^export /, "")
    .toUpperCase()
    .replace(/[-.]/g, "_");
  const withoutPrefix = name.replace(OUR_PREFIX, "");
  if (known.has(withoutPrefix)) return withoutPrefix;
  const [nearest, distance] = nearestOf(name, known);
  if (distance <= (name.length < 8 ? 1 : 2)) return nearest;
  if (OUR_PREFIX.test(name)) return undefined;
  const prefix = PREFIXES.exec(name)?.[0];
  const abbreviated = prefix === "DATABASE_" ? undefined : settingAbbreviatedBy(name, known);
  if (prefix === undefined || abbreviated !== undefined) return abbreviated;
  const withPrefix = [...known].filter((one) => one.startsWith(prefix));
  const longer = withPrefix.find((one) => one.startsWith(`${name}_`));
  if (longer !== undefined) return longer;
  // If DATABASE_URL is set, DATABASE_HOST and the like belong to another program. If not, the service would use a new embedded database.
  if (prefix === "DATABASE_") return env.DATABASE_URL || env.DATABASE_URL_FILE ? undefined : "DATABASE_URL";
  return nearestOf(name, withPrefix)[0];
}

/** The setting that contains all words of `name`, or words that begin with them, in order. */
function settingAbbreviatedBy(name: string, known: ReadonlySet<string>): string | undefined {
  const words = name.split("_");
  // A single word is too likely a coincidence.
  if (words.length < 2) return undefined;
  const settings = [...known].filter((one) => !(one.endsWith("_FILE") && known.has(one.slice(0, -5))));
  return settings.find((one) => {
    const matched = one.split("_").reduce((count, whole) => {
      const word = words[count];
      const isMatch = word !== undefined && (whole === word || (word.length > 3 && whole.startsWith(word)));
      return isMatch ? count + 1 : count;
    }, 0);
    return matched === words.length;
  });
}
