import type { DescService } from "@bufbuild/protobuf";
import type { Authorization } from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import {
  BlacklistRequestSchema,
  IsBlacklistedRequestSchema,
  ListRequestSchema,
  QuestionMetadataSchema,
  StreamChecksRequestSchema,
  type TokenBlacklist,
} from "../../gen/tokenblacklist/v1/token_blacklist_pb.js";
import {
  MAX_BATCH,
  MAX_ENVOY_FIELDS,
  MAX_ENVOY_REQUEST_BYTES,
  MAX_REQUEST_BYTES,
  MAX_SMALL_REQUEST_BYTES,
  MAX_TINY_REQUEST_BYTES,
} from "../limits.ts";
import type { InputOf, OutputOf, StreamMethodName, UnaryMethodName } from "../protobuf/service-definition.ts";
import { type Describe, describeBlacklist, describePrune } from "./audit.ts";
import type { AuthenticatedMethod } from "./authenticated-call.ts";
import { type Decode, withMaxElements } from "./bounded-decoding.ts";
import type { MethodLogging } from "./call-log.ts";
import { countVerdicts } from "./handlers.ts";
import { withoutLargeQuestion } from "./streamed-check.ts";

/** The rules of a method whose callers are authenticated. */
interface MethodRules extends Pick<AuthenticatedMethod, "isQuiet" | "role"> {
  /** Maximum size of a request, in bytes. */
  readonly maxBytes: number;
  /** Maximum number of fields of a request, nested ones included. A request with more is malformed. Absent: MAX_FIELDS. */
  readonly maxFields?: number;
  /** Limits the decoding of lists that are too long, so that the error can say so. Absent: there is no list. */
  readonly shortenLists?: (decode: Decode) => Decode;
}

interface UnaryRules<I, O> extends MethodRules {
  /**
   * When the caller's own token is looked up: a call with a blacklisted token is UNAUTHENTICATED. "by the handler": together with the tokens of
   * the request, with the same freshness.
   */
  readonly ownToken: "before the handler" | "by the handler";
  /** The content of the audit log. Undefined: the method changes nothing, and is not audited. */
  readonly audit: Describe<I, O> | undefined;
  /** Further fields of the log line of a successful call. Absent: none. */
  readonly summarize?: (output: O) => object;
}

interface StreamRules extends MethodRules {
  /** When the caller's own token is looked up: with each question that the client sends, or at the start and with each message sent to it. */
  readonly ownToken: "with each question" | "with each message";
}

/** The rules of a method of any kind, with any messages. */
export interface AnyRules extends MethodRules {
  readonly ownToken: (UnaryRules<never, never> | StreamRules)["ownToken"];
  readonly audit?: MethodLogging["describe"];
  readonly summarize?: MethodLogging["summarize"];
}

/** The rules of all methods of a service, by name. A missing method is a compile error. */
export type MethodTable<S extends DescService> = {
  readonly [K in UnaryMethodName<S>]: UnaryRules<InputOf<S, K>, OutputOf<S, K>>;
} & { readonly [K in StreamMethodName<S>]: StreamRules };

const { question, metadata } = StreamChecksRequestSchema.field;
const boundedJtis = withMaxElements(MAX_BATCH, {
  within: question.number,
  number: IsBlacklistedRequestSchema.field.jtis.number,
});
// Far more than valid metadata has: only a message long enough for so many values is scanned.
const boundedMetadata = withMaxElements(MAX_BATCH, {
  within: metadata.number,
  number: QuestionMetadataSchema.field.values.number,
});

/** The methods of the service itself. */
export const TOKEN_BLACKLIST: MethodTable<typeof TokenBlacklist> = {
  blacklist: {
    role: "revoke",
    ownToken: "before the handler",
    audit: describeBlacklist,
    isQuiet: false,
    maxBytes: MAX_REQUEST_BYTES,
    shortenLists: withMaxElements(MAX_BATCH, BlacklistRequestSchema.field.tokens),
  },
  isBlacklisted: {
    role: "check",
    ownToken: "by the handler",
    audit: undefined,
    // As frequent as the requests that all gateways forward: a line each would drown all others.
    isQuiet: true,
    summarize: ({ verdicts = [] }) => countVerdicts(verdicts),
    maxBytes: MAX_SMALL_REQUEST_BYTES,
    shortenLists: withMaxElements(MAX_BATCH, IsBlacklistedRequestSchema.field.jtis),
  },
  list: {
    role: "list",
    ownToken: "before the handler",
    audit: undefined,
    isQuiet: false,
    maxBytes: MAX_SMALL_REQUEST_BYTES,
    shortenLists: withMaxElements(MAX_BATCH, ListRequestSchema.field.jtis),
  },
  prune: {
    role: "prune",
    ownToken: "before the handler",
    audit: describePrune,
    isQuiet: false,
    maxBytes: MAX_TINY_REQUEST_BYTES,
  },
  streamChecks: {
    role: "check",
    ownToken: "with each question",
    // A client opens a stream every few seconds.
    isQuiet: true,
    maxBytes: MAX_REQUEST_BYTES,
    shortenLists: (decode) => withoutLargeQuestion(boundedJtis(boundedMetadata(decode))),
  },
  watch: {
    role: "check",
    ownToken: "with each message",
    isQuiet: false,
    maxBytes: MAX_TINY_REQUEST_BYTES,
  },
};

/** The methods of Envoy's `ext_authz`. */
export const AUTHORIZATION: MethodTable<typeof Authorization> = {
  check: {
    role: "check",
    ownToken: "by the handler",
    audit: undefined,
    // As frequent as IsBlacklisted: Envoy asks for every request that it forwards.
    isQuiet: true,
    maxBytes: MAX_ENVOY_REQUEST_BYTES,
    maxFields: MAX_ENVOY_FIELDS,
  },
};
