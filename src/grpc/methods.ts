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
import { type DescribeForAudit, describeBlacklist, describePrune } from "./audit.ts";
import type { AuthenticatedMethod } from "./authenticated-call.ts";
import { type Decode, withMaxElements } from "./bounded-decoding.ts";
import type { MethodLogging } from "./call-log.ts";
import { countVerdicts } from "./handlers.ts";
import { withoutLargeQuestion } from "./streamed-check.ts";

/** The rules of a method whose callers are authenticated. */
interface MethodRules extends Pick<AuthenticatedMethod, "logsSuccessAtDebug" | "role"> {
  /** Maximum size of a request, in bytes. */
  readonly maxBytes: number;
  /** Maximum number of fields of a request, nested ones included. A request with more is malformed. Absent: MAX_FIELDS. */
  readonly maxFields?: number;
  /**
   * Limits the decoding of lists that are too long to one element more than allowed, so that validation rejects them. Absent: the request has no
   * list.
   */
  readonly shortenLists?: (decode: Decode) => Decode;
}

interface UnaryRules<I, O> extends MethodRules {
  /**
   * When the caller's own token is looked up. A call with a blacklisted token fails with UNAUTHENTICATED. "by the handler": the token is looked
   * up together with the tokens of the request, with the same freshness.
   */
  readonly ownToken: "before the handler" | "by the handler";
  /** Returns the content of the audit log's lines. Undefined: the method changes nothing, and is not audited. */
  readonly describeForAudit: DescribeForAudit<I, O> | undefined;
  /** Returns further fields for the log line of a successful call. Absent: there are none. */
  readonly summarizeForLog?: (output: O) => object;
}

interface StreamRules extends MethodRules {
  /** When the caller's own token is looked up: with each question that the client sends, or at the start and with each message sent to it. */
  readonly ownToken: "with each question" | "with each message";
}

/** The rules of a method of any kind, with any messages. */
export interface AnyRules extends MethodRules {
  readonly ownToken: (UnaryRules<never, never> | StreamRules)["ownToken"];
  readonly describeForAudit?: MethodLogging["describeForAudit"];
  readonly summarizeForLog?: MethodLogging["summarizeForLog"];
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
// MAX_BATCH is far more than valid metadata has, but with a lower limit, even short messages would have to be scanned.
const boundedMetadata = withMaxElements(MAX_BATCH, {
  within: metadata.number,
  number: QuestionMetadataSchema.field.values.number,
});

/** The rules of the service itself. */
export const TOKEN_BLACKLIST_RULES: MethodTable<typeof TokenBlacklist> = {
  blacklist: {
    role: "revoke",
    ownToken: "before the handler",
    describeForAudit: describeBlacklist,
    logsSuccessAtDebug: false,
    maxBytes: MAX_REQUEST_BYTES,
    shortenLists: withMaxElements(MAX_BATCH, BlacklistRequestSchema.field.tokens),
  },
  isBlacklisted: {
    role: "check",
    ownToken: "by the handler",
    describeForAudit: undefined,
    // There are as many calls as requests at all gateways: their lines would hide all others.
    logsSuccessAtDebug: true,
    summarizeForLog: ({ verdicts = [] }) => countVerdicts(verdicts),
    maxBytes: MAX_SMALL_REQUEST_BYTES,
    shortenLists: withMaxElements(MAX_BATCH, IsBlacklistedRequestSchema.field.jtis),
  },
  list: {
    role: "list",
    ownToken: "before the handler",
    describeForAudit: undefined,
    logsSuccessAtDebug: false,
    maxBytes: MAX_SMALL_REQUEST_BYTES,
    shortenLists: withMaxElements(MAX_BATCH, ListRequestSchema.field.jtis),
  },
  prune: {
    role: "prune",
    ownToken: "before the handler",
    describeForAudit: describePrune,
    logsSuccessAtDebug: false,
    maxBytes: MAX_TINY_REQUEST_BYTES,
  },
  streamChecks: {
    role: "check",
    ownToken: "with each question",
    // Each client opens a stream every few seconds.
    logsSuccessAtDebug: true,
    maxBytes: MAX_REQUEST_BYTES,
    shortenLists: (decode) => withoutLargeQuestion(boundedJtis(boundedMetadata(decode))),
  },
  watch: {
    role: "check",
    ownToken: "with each message",
    logsSuccessAtDebug: false,
    maxBytes: MAX_TINY_REQUEST_BYTES,
  },
};

/** The rules of Envoy's `ext_authz`. */
export const AUTHORIZATION_RULES: MethodTable<typeof Authorization> = {
  check: {
    role: "check",
    ownToken: "by the handler",
    describeForAudit: undefined,
    // As for IsBlacklisted: Envoy makes a call for every request that it forwards.
    logsSuccessAtDebug: true,
    maxBytes: MAX_ENVOY_REQUEST_BYTES,
    maxFields: MAX_ENVOY_FIELDS,
  },
};
