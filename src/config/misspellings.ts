import { nearestOf } from "../nearest-word.ts";
import type { Environment } from "./environment.ts";

/** A variable that is set and that nothing reads. */
export interface Misspelling {
  readonly variable: string;
  /** The setting that was probably meant. */
  readonly meant: string;
}

/** Whatever begins so in a service's environment was hardly meant for another program. */
const FAMILIES = /^(AUTHZ?|AUDIT|DATABASE|INDEX|LISTEN|PRUNE|QUOTA|TLS|TOKEN)_/;
/** Put before names by people who share an environment between programs. */
const OUR_NAME = /^(TOKEN_?BLACKLIST|TB)_/;
/** systemd's socket activation, OpenSSL's own variables, and those of the operators' commands. */
const OTHERS =
  /^(LISTEN_(PID|FDS|FDNAMES|PIDFDID)|SSL_\w+|TOKEN_BLACKLIST_(ADDRESS|TOKEN|TOKEN_FILE|CACERT|CERT|KEY|TLS))$/;
/** What Kubernetes and Docker tell every container of its neighbours. */
const NEIGHBOUR_NAME = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$/;
const NEIGHBOUR_VALUE = /^(tcp|udp|sctp):\/\//;

/** Variables of `env` that are not in `known` but look as if they should be. Their values are nobody's business. */
export function misspellings(env: Environment, known: ReadonlySet<string>): Misspelling[] {
  const found: Misspelling[] = [];
  for (const [variable, value] of Object.entries(env)) {
    if (!value || known.has(variable) || OTHERS.test(variable)) continue;
    if (NEIGHBOUR_NAME.test(variable) || NEIGHBOUR_VALUE.test(value)) continue;
    const meant = meantBy(variable, { known, isSet: (name) => Boolean(env[name] || env[`${name}_FILE`]) });
    if (meant !== undefined) found.push({ variable, meant });
  }
  return found;
}

/** A sentence about it. */
export function describeMisspelling({ variable, meant }: Misspelling): string {
  return `the variable ${variable} is not read: was ${meant} meant?`;
}

function meantBy(
  variable: string,
  { known, isSet }: { known: ReadonlySet<string>; isSet: (name: string) => boolean },
): string | undefined {
  // Docker hands a line of a shell's file on with the shell's word before the name.
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
  // Beside the URL, DATABASE_HOST and the like are another program's; without it, the service would start on an empty file.
  if (family === "DATABASE_") return isSet("DATABASE_URL") ? undefined : "DATABASE_URL";
  return nearestOf(name, relatives)[0];
}

/** The setting, by its own name, that has all words of `name`, or words that begin so, in their order. */
function abbreviatedIn(name: string, known: ReadonlySet<string>): string | undefined {
  const words = name.split("_");
  // One word is anybody's.
  if (words.length < 2) return undefined;
  const settings = [...known].filter((one) => !(one.endsWith("_FILE") && known.has(one.slice(0, -5))));
  return settings.find((one) => {
    const met = one.split("_").reduce((count, whole) => {
      const word = words[count];
      const isMet = word !== undefined && (whole === word || (word.length > 3 && whole.startsWith(word)));
      return isMet ? count + 1 : count;
    }, 0);
    return met === words.length;
  });
}
