import { nearestOf } from "../text/nearest-word.ts";
import type { Environment } from "./environment.ts";

/** A variable that is set but not read. */
export interface Misspelling {
  readonly variable: string;
  /** The setting that was probably meant. */
  readonly meant: string;
}

/** Prefixes that, in the environment of this service, are hardly meant for another program. */
const FAMILIES = /^(AUTHZ?|AUDIT|DATABASE|INDEX|LISTEN|PRUNE|QUOTA|TLS|TOKEN)_/;
/** Prefixes added by operators who share an environment between programs. */
const OUR_NAME = /^(TOKEN_?BLACKLIST|TB)_/;
/** Variables of systemd's socket activation, of OpenSSL, and of the operators' commands. */
const OTHERS =
  /^(LISTEN_(PID|FDS|FDNAMES|PIDFDID)|SSL_\w+|TOKEN_BLACKLIST_(ADDRESS|TOKEN|TOKEN_FILE|CACERT|CERT|KEY|TLS))$/;
/** Variables by which Kubernetes and Docker tell each container of other services. */
const SERVICE_LINK_NAME = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$/;
const SERVICE_LINK_VALUE = /^(tcp|udp|sctp):\/\//;

/** Variables of `env` that are not in `known` but resemble a known one. Their values are not reported. */
export function misspellings(env: Environment, known: ReadonlySet<string>): Misspelling[] {
  const found: Misspelling[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!value || known.has(variable) || OTHERS.test(variable)) continue;
    if (SERVICE_LINK_NAME.test(variable) || SERVICE_LINK_VALUE.test(value)) continue;
    const meant = meantBy(variable, { known, isSet: (name) => Boolean(env[name] || env[`${name}_FILE`]) });
    if (meant !== undefined) found.push({ variable, meant });
  }
  return found;
}

/** Describes a misspelling in one sentence. */
export function describeMisspelling({ variable, meant }: Misspelling): string {
  return `the variable ${variable} is not a setting: did you mean ${meant}?`;
}

function meantBy(
  variable: string,
  { known, isSet }: { known: ReadonlySet<string>; isSet: (name: string) => boolean },
): string | undefined {
  // Docker passes on lines of a shell file with the word `export` before the name.
  const name = variable
    .replace(/^export /, "")
    .toUpperCase()
    .replace(/[-.]/g, "_");
  const withoutOurs = name.replace(OUR_NAME, "");
  if (known.has(withoutOurs)) return withoutOurs;
  const [nearest, distance] = nearestOf(name, known);
  if (distance <= (name.length < 8 ? 1 : 2)) return nearest;
  if (OUR_NAME.test(name)) return undefined;
  const family = FAMILIES.exec(name)?.[0];
  const abbreviated = family === "DATABASE_" ? undefined : abbreviatedIn(name, known);
  if (family === undefined || abbreviated !== undefined) return abbreviated;
  const relatives = [...known].filter((one) => one.startsWith(family));
  const whole = relatives.find((one) => one.startsWith(`${name}_`));
  if (whole !== undefined) return whole;
  // With DATABASE_URL set, DATABASE_HOST and the like belong to another program. Without it, the service would start on an empty file.
  if (family === "DATABASE_") return isSet("DATABASE_URL") ? undefined : "DATABASE_URL";
  return nearestOf(name, relatives)[0];
}

/** The setting that contains all words of `name`, or words that begin with them, in order. */
function abbreviatedIn(name: string, known: ReadonlySet<string>): string | undefined {
  const words = name.split("_");
  // A single word is too common.
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
