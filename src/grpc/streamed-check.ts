import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import {
  IsBlacklistedRequestSchema,
  type StreamChecksRequest,
  StreamChecksResponseSchema,
  TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import { admissionError } from "../admission/admission.ts";
import type { Share } from "../admission/fair-capacity.ts";
import type { KnownCaller } from "../caller.ts";
import { ServiceError } from "../errors.ts";
import { MAX_SMALL_REQUEST_BYTES } from "../limits.ts";
import type { MethodCalls } from "../metrics/call-metrics.ts";
import { type Principal, UNAUTHENTICATED_PRINCIPAL } from "../principal.ts";
import { encode, type OutputOf } from "../protobuf/service-definition.ts";
import { authorize } from "./authorize.ts";
import { isUnlogged, logCall } from "./call-log.ts";
import { TOO_LARGE_CHECK } from "./check-definition.ts";
import { summarizeVerdicts } from "./count-verdicts.ts";
import { tooLarge } from "./incoming-call.ts";
import { readCheckTimeout } from "./requests.ts";
import { codeOf, encodedStatusOf, presentable } from "./status.ts";
import type { CallEnvironment, Handlers } from "./unary.ts";

type Answer = OutputOf<typeof TokenBlacklist, "isBlacklisted">;

export interface StreamedCheckEnvironment extends Omit<CallEnvironment, "authenticate"> {
  /** The handler that answers questions as it answers calls. */
  readonly handler: Handlers<typeof TokenBlacklist>["isBlacklisted"];
  /** Counts the questions. */
  readonly questions: MethodCalls;
}

interface Options extends StreamedCheckEnvironment {
  readonly peer: string;
  readonly authenticate: () => Principal | Promise<Principal>;
  readonly send: (answer: Buffer) => void;
}

/** One question on a stream of `StreamChecks`, from its arrival to its answer. */
export class StreamedCheck implements KnownCaller {
  readonly #id: number;
  readonly #options: Options;
  readonly #began: number;
  #isCountedIn = false;
  #part: Share | undefined;
  #cancelTimer = () => {};
  #answer: Answer | undefined;
  principal: Principal = UNAUTHENTICATED_PRINCIPAL;
  gone = false;

  constructor(id: number, options: Options) {
    this.#id = id;
    this.#options = options;
    this.#began = options.clock.monotonic();
    options.questions.begin();
  }

  run(request: StreamChecksRequest): void {
    const { authenticate, calls, clock, peer } = this.#options;
    try {
      const refusal = calls.enter(() => peer);
      if (refusal !== undefined) throw admissionError(refusal);
      this.#isCountedIn = true;
      const timeoutMs = readCheckTimeout(request);
      this.#cancelTimer = clock.schedule(timeoutMs, () =>
        this.#failed(new ServiceError("DEADLINE_EXCEEDED", `not answered within ${timeoutMs} ms`)),
      );
      const principal = authenticate();
      if (principal instanceof Promise) {
        principal.then((known) => this.#admitted(known, request)).catch(this.#failed);
      } else this.#admitted(principal, request);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Claims the right to end the question, once; false if it has ended already. */
  end(code: status, failure?: ServiceError): boolean {
    if (this.gone) return false;
    this.gone = true;
    this.#cancelTimer();
    const { calls, clock, log, peer, questions } = this.#options;
    if (this.#isCountedIn) calls.leave(this.#part, this.principal.name);
    const milliseconds = clock.monotonic() - this.#began;
    questions.end(code, milliseconds / 1000);
    if (isUnlogged(log, code, true)) return true;
    const caller = this.principal.name;
    // Logged under the method by which it is counted: a line of StreamChecks is about a stream.
    const { name: method } = TokenBlacklist.method.isBlacklisted;
    const answer = this.#answer;
    const about =
      code !== status.OK || answer === undefined ? {} : { about: () => summarizeVerdicts(answer) };
    logCall(
      log,
      { method, code, failure, milliseconds, caller, peer: () => peer, ...about },
      { quiet: true, sampling: this.#options.sampling },
    );
    return true;
  }

  #admitted(principal: Principal, { question }: StreamChecksRequest): void {
    if (this.gone) return;
    this.principal = principal;
    authorize(principal, "check");
    this.#part = this.#options.calls.claim(principal.name);
    if (this.#part === undefined) throw admissionError("OVERLOADED");
    // The same error as for a call.
    if (question === TOO_LARGE_CHECK) throw tooLarge(MAX_SMALL_REQUEST_BYTES);
    // An absent question is treated as one without tokens.
    const answer = this.#options.handler(question ?? create(IsBlacklistedRequestSchema), this);
    if (answer instanceof Promise) answer.then(this.#answered).catch(this.#failed);
    else this.#answered(answer);
  }

  readonly #answered = (value: Answer): void => {
    this.#answer = value;
    const encoded = encode(StreamChecksResponseSchema, { id: this.#id, outcome: { case: "answer", value } });
    if (this.end(status.OK)) this.#options.send(encoded);
  };

  readonly #failed = (error: unknown): void => {
    const failure = presentable(error);
    if (!this.end(codeOf(failure), failure)) return;
    const outcome = { case: "status", value: encodedStatusOf(failure) };
    this.#options.send(encode(StreamChecksResponseSchema, { id: this.#id, outcome }));
  };
}
