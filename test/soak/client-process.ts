import { type ConnectOptions, connect } from "../../src/client/connect.ts";
import { Choices } from "../histories/choices.ts";
import {
  type AcknowledgedBatch,
  addTally,
  ClientLoad,
  type Pace,
  type Tally,
} from "../support/client-load.ts";
import { Ledger } from "../support/ledger.ts";
import { Visitors } from "./visitors.ts";

/** The messages between the driver and a client process. */
export type ToClient =
  | { readonly kind: "acknowledged"; readonly batch: AcknowledgedBatch }
  | { readonly kind: "stop" };
export type FromClient =
  | { readonly kind: "acknowledged"; readonly batch: AcknowledgedBatch }
  | { readonly kind: "tally"; readonly tally: Tally; readonly ready: boolean }
  | { readonly kind: "stopped" };

/** The parameters of the process: its only argument, as JSON. */
export interface ClientProcessSetup {
  readonly name: string;
  readonly seed: number;
  readonly mode: NonNullable<ConnectOptions["mode"]>;
  readonly address: readonly string[];
  readonly pace: Pace;
}

const REPORT_MS = 1000;
const VISIT_PAUSE_MS = 2000;

const { name, seed, mode, address, pace } = JSON.parse(process.argv[2] as string) as ClientProcessSetup;
const open = () => connect({ address, mode, log: { warn() {} } });
const client = open();
const ledger = new Ledger();
const send = (message: FromClient) => void process.send?.(message);
const choices = new Choices(seed, name);
const visitors = new Visitors({ connect: open, name, choices, ledger, pauseMs: VISIT_PAUSE_MS });
const load = new ClientLoad({
  client,
  name,
  choices,
  ledger,
  pace,
  onAcknowledged: (batch) => {
    ledger.add(batch.tokens, batch.revision);
    send({ kind: "acknowledged", batch });
  },
});
function report(): void {
  const tally = load.take();
  addTally(tally, visitors.take());
  send({ kind: "tally", tally, ready: client.state === "ready" });
}
const reporting = setInterval(report, REPORT_MS);

process.on("message", async (message: ToClient) => {
  if (message.kind === "acknowledged") {
    ledger.add(message.batch.tokens, message.batch.revision);
    return;
  }
  await Promise.all([load.stop(), visitors.stop()]);
  clearInterval(reporting);
  report();
  send({ kind: "stopped" });
  client.close();
  process.disconnect();
});
// The parent process has ended.
process.on("disconnect", () => process.exit());

load.start();
visitors.start();
