import type { CheckOptions } from "../../src/client/blacklist-client.ts";
import { ClientError } from "../../src/client/client-error.ts";
import { WatchedCopy } from "../../src/client/local-copy/watched-copy.ts";
import { openClient } from "../../src/client/open-client.ts";
import type { ClientMetrics } from "../../src/client/telemetry.ts";
import type { EpochMs } from "../../src/entry.ts";
import { type Clock, systemClock } from "../../src/time/clock.ts";
import { monotonic } from "./driver-clock.ts";
import type { GatewayAnswer, GatewayQuestion, GatewayReply, GatewaySetup } from "./gateway-messages.ts";
import type { Freshness } from "./history.ts";

// A gateway: checks its copy of the blacklist on request of the driver. Ends with the driver.

const { addresses, skewMs, clockOffset } = JSON.parse(process.env.GATEWAY ?? "") as GatewaySetup;
const counts = { copy: 0, copyNegatives: 0, service: 0, snapshots: 0 };

const clock: Clock = { ...systemClock, now: () => (systemClock.now() + skewMs) as EpochMs };
const metrics: ClientMetrics = {
  checked({ answer, source, count }) {
    if (source === "copy") countCopy(answer, count);
    if (source === "service") counts.service += count;
  },
  state(state) {
    if (state === "loading") counts.snapshots++;
  },
};
let standing = "";

/** Reports errors that no fault explains. */
function note(message: string, details: Readonly<Record<string, unknown>>): void {
  const { code } = details;
  standing = `${message} ${JSON.stringify(details)}`;
  if (code === "INTERNAL" || code === "INVALID_ARGUMENT") {
    process.stderr.write(`${standing}\n`);
  }
}

const client = openClient({
  options: { address: addresses, mode: "local", metrics, log: { info: note, warn: note } },
  clock,
  random: Math.random,
  localCopy: (setup) => new WatchedCopy(setup),
});

function now(): number {
  return clockOffset + monotonic();
}

function countCopy(isBlacklisted: boolean, count: number): void {
  counts.copy += count;
  if (!isBlacklisted) counts.copyNegatives += count;
}

async function answerTo(question: GatewayQuestion): Promise<GatewayAnswer> {
  const from = now();
  if (question.kind === "peek") {
    const { jti, maxStalenessMs } = question;
    const seen = client.peek(jti, { maxStalenessMs });
    if (seen === undefined) return { from, to: now(), failure: "the copy cannot say" };
    countCopy(seen, 1);
    return { from, to: now(), verdicts: [verdictOf(seen)] };
  }
  try {
    const { jtis, freshness, timeoutMs } = question;
    const answers = await answersOf(jtis, { ...wanted(freshness), timeoutMs });
    return { from, to: now(), verdicts: answers.map(verdictOf) };
  } catch (error) {
    const failure = error instanceof ClientError ? (error.reason ?? error.code) : "INTERNAL";
    return { from, to: now(), failure };
  }
}

/** Checks one jti as a gateway does. */
async function answersOf(jtis: readonly string[], options: CheckOptions): Promise<boolean[]> {
  const [only] = jtis;
  if (only === undefined || jtis.length > 1) return client.areBlacklisted(jtis, options);
  return [await client.isBlacklisted(only, options)];
}

function wanted(freshness: Freshness): CheckOptions {
  switch (freshness.kind) {
    case "fresh":
      return {};
    case "at-least":
      return { atLeastRevision: freshness.revision };
    case "max-staleness":
      return { maxStalenessMs: freshness.ms };
  }
}

function verdictOf(isBlacklisted: boolean) {
  return isBlacklisted ? "blacklisted" : "not-blacklisted";
}

process.on("message", async (question: GatewayQuestion) => {
  const reply: GatewayReply = { id: question.id, answer: await answerTo(question), counts, standing };
  process.send?.(reply);
});
process.once("disconnect", () => process.exit());
