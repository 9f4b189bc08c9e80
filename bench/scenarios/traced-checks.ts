import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { alternate } from "../alternate.ts";
import { check } from "../contestants/grpc.ts";
import { closedLoop } from "../load.ts";
import { target, throughputRows } from "../result.ts";
import { startService } from "../stage/service.ts";
import type { Stage } from "../stage/stage.ts";
import { median } from "../statistics.ts";
import type { Scenario } from "./scenario.ts";

const CALLERS = 64;
/** Many short slices, compared round by round: see `fresh-checks.ts`. */
const ROUNDS_EACH = 6;
const SECONDS_EACH = 0.6;
const WARM_UP_ROUNDS = 4;

const TELEMETRY = new URL("../../deploy/otel/telemetry.mjs", import.meta.url);

/** Values of OpenTelemetry's sampler variable for calls without a trace. */
const SAMPLERS = {
  "preloaded, no call recorded": { OTEL_TRACES_SAMPLER: "parentbased_always_off" },
  "preloaded, one call in a hundred recorded": {
    OTEL_TRACES_SAMPLER: "parentbased_traceidratio",
    OTEL_TRACES_SAMPLER_ARG: "0.01",
  },
  "preloaded, every call recorded": { OTEL_TRACES_SAMPLER: "parentbased_always_on" },
} as const;

/** Receives spans and drops them. */
async function startSink() {
  const server = createServer((request, response) => {
    request.resume().once("end", () => response.end("{}"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The cost of tracing calls. */
export function tracedCheckScenario(): Scenario {
  const name = `IsBlacklisted, 1 jti a call, ${CALLERS} callers, traced`;
  return {
    name,
    async run({ rounds, seconds }, { ground, database, service: untraced }: Stage) {
      const { guard, closing } = ground;
      const sink = closing(await startSink());
      const traced = [];
      for (const [index, [what, sampler]] of Object.entries(SAMPLERS).entries()) {
        const environment = {
          NODE_OPTIONS: `--import=${TELEMETRY.href}`,
          OTEL_EXPORTER_OTLP_ENDPOINT: sink.url,
          ...sampler,
        };
        const setup = { name: `traced-${index}`, databaseUrl: database.url, environment };
        const service = closing(await startService(guard, setup));
        await service.indexLoaded();
        traced.push({ name: what, service });
      }
      const services = [
        { name: "nothing preloaded", service: untraced },
        { name: "the same once more, as a control", service: untraced },
        ...traced,
      ];
      const contestants = services.map((one) => check(1)(one.name, one.service, [one.service.pid]));
      const slices = await alternate(
        contestants,
        { rounds: rounds * ROUNDS_EACH, warmUp: WARM_UP_ROUNDS },
        (contestant) => closedLoop(contestant, { callers: CALLERS, seconds: seconds * SECONDS_EACH }),
      );
      for (const { service } of traced) await service.close();
      await sink.close();
      const rates = slices.map((own) => own.map((slice) => slice.calls / slice.seconds));
      const unrecorded = median(
        (rates[2] ?? []).map(
          (own, round) => (2 * own) / ((rates[0]?.[round] ?? 0) + (rates[1]?.[round] ?? 0)),
        ),
      );
      return {
        name,
        unit: "calls",
        rows: throughputRows(
          services.map((one) => one.name),
          slices,
        ),
        targets: [
          target("IsBlacklisted with a provider that records nothing, to without", unrecorded, {
            atLeast: 0.9,
          }),
        ],
        skipped: [],
      };
    },
  };
}
