import { Verdict } from "../../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { until } from "../../support/until.ts";
import type { ScriptedService } from "../scripted-service.ts";

export const FINE = Verdict.NOT_BLACKLISTED;
export const BAD = Verdict.BLACKLISTED;
export const SECOND_MS = 1000;

/** The script of a service at which the jtis that begin with "bad" are blacklisted. */
export const answered = ({ jtis }: { jtis: string[] }) => ({
  verdicts: jtis.map((jti) => (jti.startsWith("bad") ? BAD : FINE)),
  revision: "r",
});

/** The way in which each question arrived. */
export const ways = ({ calls }: ScriptedService) =>
  calls.map(({ isStreamed }) => (isStreamed ? "streamed" : "called"));

export const soon = (isSo: () => boolean, what: string) => until(isSo, { withinMs: 5000, what });
