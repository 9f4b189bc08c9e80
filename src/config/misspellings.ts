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
  const name = variable.toUpperCase().replace(/[-.]/g, "_");
  const withoutOurs = name.replace(OUR_NAME, "");
  if (known.has(withoutOurs)) return withoutOurs;
  const [nearest, distance] = nearestOf(name, known);
  if (distance <= (name.length < 8 ? 1 : 2)) return nearest;
  if (OUR_NAME.test(name)) return undefined;
  const family = FAMILIES.exec(name)?.[0];
  if (family === undefined) return undefined;
  const relatives = [...known].filter((one) => one.startsWith(family));
  const whole = relatives.find((one) => one.startsWith(`${name}_`));
  if (whole !== undefined) return whole;
  // Beside the URL, DATABASE_HOST and the like are another program's; without it, the service would start on an empty file.
  if (family === "DATABASE_") return isSet("DATABASE_URL") ? undefined : "DATABASE_URL";
  return nearestOf(name, relatives)[0];
}

function nearestOf(name: string, known: Iterable<string>): [nearest: string | undefined, distance: number] {
  let nearest: string | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const one of known) {
    const distance = editDistance(name, one);
    if (distance < least) [nearest, least] = [one, distance];
  }
  return [nearest, least];
}

/** How many letters must be put in, left out, changed, or swapped with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      const isSwapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      next[column] = Math.min(
        (last[column] as number) + 1,
        (next[column - 1] as number) + 1,
        (last[column - 1] as number) + (isSame ? 0 : 1),
        isSwapped ? (before[column - 2] as number) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [before, last] = [last, next];
  }
  return last[b.length] as number;
}
