import type { DescMethod, DescService } from "@bufbuild/protobuf";
import type { Server, ServiceDefinition, UntypedHandleCall } from "@grpc/grpc-js";
import type { Logger } from "pino";
import type { KnownCaller } from "../caller.ts";
import type { ServiceError } from "../errors.ts";
import { MAX_FIELDS } from "../limits.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { methodDefinition, type StreamMethodName } from "../protobuf/service-definition.ts";
import type { Tracing } from "../tracing/call-spans.ts";
import { MethodSpans } from "../tracing/method-spans.ts";
import type { Handler, Handlers } from "./answered-call.ts";
import type { AuthenticatedMethod } from "./authenticated-call.ts";
import { type Decode, withMaxFields } from "./bounded-decoding.ts";
import type { IncomingCalls } from "./incoming-call.ts";
import type { AnyRules, MethodTable } from "./methods.ts";
import { serveUnary } from "./unary-call.ts";

/** The dependencies of the calls of all methods. */
export interface CallEnvironment
  extends Pick<
    AuthenticatedMethod,
    "auditLog" | "authenticate" | "admission" | "callerValidity" | "clock" | "connections" | "logSampling"
  > {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Undefined if tracing is off. */
  readonly tracing: Tracing | undefined;
  /** Rejects with the error UNAUTHENTICATED if the caller's own token is blacklisted. */
  readonly checkOwnToken: (caller: KnownCaller) => Promise<void>;
}

/** The streams of a method. */
interface ServedStreams {
  /** Called by grpc-js with each stream. */
  readonly handle: UntypedHandleCall;
  /** Records that the transport has refused a stream of `peer` before its first message. */
  refused(error: ServiceError, peer: string): void;
}

interface Options<S extends DescService> {
  readonly rules: MethodTable<S>;
  readonly handlers: Handlers<S>;
  readonly streams: { readonly [K in StreamMethodName<S>]: ServedStreams };
  readonly environment: CallEnvironment;
  readonly incoming: IncomingCalls;
}

/** Adds a service whose callers are authenticated. */
export function addAuthenticatedService<S extends DescService>(
  server: Server,
  service: S,
  { rules: rulesByMethod, handlers, streams, environment, incoming }: Options<S>,
): void {
  const definitions: Record<string, ServiceDefinition[string]> = {};
  const handles: Record<string, UntypedHandleCall> = {};
  for (const desc of service.methods) {
    const name = desc.localName;
    const rules = rulesByMethod[name as keyof typeof rulesByMethod] as AnyRules;
    const { path, requestDeserialize, ...definition } = methodDefinition(desc);
    const { maxBytes } = rules;
    if (desc.methodKind === "unary") {
      const handler = handlers[name as keyof typeof handlers] as unknown as Handler<object, object>;
      const { createAdmission, handle } = serveUnary({
        ...authenticatedMethod(desc, rules, environment),
        handler,
      });
      incoming.add(path, { maxBytes, createAdmission });
      handles[name] = handle;
    } else {
      const registry = streams[name as keyof typeof streams];
      incoming.add(path, { maxBytes, refusedBeforeHandler: (error, peer) => registry.refused(error, peer) });
      handles[name] = registry.handle;
    }
    definitions[name] = {
      ...definition,
      path,
      requestDeserialize: boundedDecoding(desc, rules, requestDeserialize as Decode),
    };
  }
  server.addService(definitions, handles);
}

/** A `decode` for requests of the method that decodes no more than the rules of the method allow. */
export function boundedDecoding(
  { input }: DescMethod,
  { maxFields = MAX_FIELDS, shortenLists }: Pick<AnyRules, "maxFields" | "shortenLists">,
  decode: Decode,
): Decode {
  const bounded = withMaxFields(maxFields, input)(decode);
  return shortenLists?.(bounded) ?? bounded;
}

/** Creates a method from its rules. `count` counts its calls: by default under the method's own name. */
export function authenticatedMethod(
  desc: DescMethod,
  rules: AnyRules,
  { metrics, tracing, ...environment }: CallEnvironment,
  count = metrics.calls.of(methodDefinition(desc)),
): AuthenticatedMethod {
  return {
    ...environment,
    checkOwnToken: rules.ownToken === "before the handler" ? environment.checkOwnToken : undefined,
    name: desc.name,
    input: desc.input,
    output: desc.output,
    role: rules.role,
    logsSuccessAtDebug: rules.logsSuccessAtDebug,
    describeForAudit: rules.describeForAudit,
    summarizeForLog: rules.summarizeForLog,
    count,
    spans: tracing && new MethodSpans(methodDefinition(desc).path, tracing),
  };
}
