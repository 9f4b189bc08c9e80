import type { Copied, CopyInput } from "../gateway/copy.ts";
import { startGateway } from "../gateway/gateway.ts";
import { target } from "../result.ts";
import { median } from "../statistics.ts";
import { LIVE_TOKENS } from "../tokens.ts";
import type { Scenario } from "./scenario.ts";

/** The number of gateways, each a new process. */
const TIMES = 5;

/** Memory and time that a gateway's copy takes. */
export function clientCopyScenario(): Scenario {
  const name = `Client: a gateway's copy of ${LIVE_TOKENS.toLocaleString("en")} entries`;
  return {
    name,
    async run({ profileFolder }, { ground, service }) {
      const copies: Copied[] = [];
      for (let time = 0; time < TIMES; time++) {
        const given: CopyInput = { port: service.port };
        const start = { program: "copy.ts", name: `gateway-copy-${time}`, given, profileFolder };
        const gateway = await startGateway(ground, start);
        copies.push(await gateway.ask<Copied>("copy"));
        await gateway.close();
      }
      const ready = copies.map(({ readyMs }) => readyMs);
      const bytes = copies.map(({ bytes }) => bytes / LIVE_TOKENS);
      const worst = copies.map(({ worstBytes }) => worstBytes / LIVE_TOKENS);
      return {
        name,
        unit: "one column a gateway",
        figures: {
          headings: copies.map((_, index) => `${index + 1}`),
          rows: [
            { name: "ms from connect() to the first answers by the copy", values: ready },
            { name: "bytes an entry by RSS, when loaded", values: bytes },
            { name: "bytes an entry by RSS, at the worst moment", values: worst },
          ],
        },
        targets: [
          target("Client, a gateway's copy, bytes an entry by RSS", median(bytes), { atMost: 50 }),
          target("Client, a gateway's copy, ms until it answers", median(ready), { atMost: 3000 }),
        ],
        skipped: [],
      };
    },
  };
}
