import type { JsonObject, JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import { type Server, status } from "@grpc/grpc-js";
import type { AttributeContext } from "../../gen/envoy/service/auth/v3/attribute_context_pb.js";
import { Authorization, type CheckResponseSchema } from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import type { PresentedCredentials } from "../auth/presented-token.ts";
import { isAcceptedType, isSecurityEvent } from "../auth/token-type.ts";
import { denialOf } from "../authz/denial.ts";
import { isPreflight } from "../authz/preflight.ts";
import type { TokenAuthorizer } from "../authz/token-authorizer.ts";
import type { Decision } from "../decision.ts";
import { addAuthenticatedService, type CallEnvironment } from "./authenticated-service.ts";
import type { IncomingCalls } from "./incoming-call.ts";
import { AUTHORIZATION } from "./methods.ts";

/** The metadata key under which Envoy's JWT filter stores the payloads that it has verified. */
const JWT_AUTHN = "envoy.filters.http.jwt_authn";

/** Serves Envoy's `ext_authz`, which asks whether the token of a request is revoked before it forwards the request. */
export function addExtAuthz(
  server: Server,
  {
    authorizer,
    environment,
    incoming,
  }: { authorizer: TokenAuthorizer; environment: CallEnvironment; incoming: IncomingCalls },
): void {
  const answer = (decision: Decision) => {
    environment.metrics.decisions.count("ext_authz", decision);
    return responseTo(decision);
  };
  addAuthenticatedService(server, Authorization, {
    table: AUTHORIZATION,
    handlers: {
      check({ attributes }, caller) {
        const decision = authorizer.decide(presentedIn(attributes), caller);
        return decision instanceof Promise ? decision.then(answer) : answer(decision);
      },
    },
    streams: {},
    environment,
    incoming,
  });
}

type Response = MessageInitShape<typeof CheckResponseSchema>;

function presentedIn(attributes: AttributeContext | undefined): PresentedCredentials {
  return {
    verifiedJtis: verifiedJtisIn(attributes?.metadataContext?.filterMetadata),
    authorization: valuesOf(attributes, "authorization"),
    isPreflight: isPreflight(attributes?.request?.http?.method, (name) => valuesOf(attributes, name)),
  };
}

/**
 * The jti of each payload that Envoy has verified. A payload stands under a key that the operator chooses (`payload_in_metadata`), or its
 * claims stand in the metadata itself. Null, which is not a valid jti, if the type of the token grants no access.
 */
function verifiedJtisIn(metadata: Readonly<Record<string, JsonObject>> = {}): unknown[] {
  const found = metadata[JWT_AUTHN];
  if (!isObject(found)) return [];
  const parts = [found, ...Object.values(found).filter(isObject)];
  if (parts.some(isOfOtherType)) return [null];
  const jtis: unknown[] = parts.slice(1).map((payload) => payload.jti);
  const top = found.jti;
  return top === undefined || isObject(top) ? jtis : [...jtis, top];
}

/**
 * Whether a payload, or a header (`header_in_metadata`), belongs to a token that is not an access token, such as a logout token. Envoy
 * verifies signatures, not token types.
 */
function isOfOtherType(part: JsonObject): boolean {
  return isSecurityEvent(part) || (part.alg !== undefined && !isAcceptedType(part.typ));
}

/** Envoy sends headers as text, joining repeated ones, or (`encode_raw_headers`) each as bytes. */
function valuesOf(attributes: AttributeContext | undefined, sought: string): string[] {
  const { headers = {}, headerMap } = attributes?.request?.http ?? {};
  const isSought = (name: string) => name.toLowerCase() === sought;
  const raw = (headerMap?.headers ?? []).filter(({ key }) => isSought(key));
  return [
    ...Object.keys(headers).flatMap((name) => (isSought(name) ? [headers[name] as string] : [])),
    ...raw.map(({ value, rawValue }) =>
      rawValue.length > 0 ? Buffer.from(rawValue).toString("latin1") : value,
    ),
  ];
}

function responseTo(decision: Decision): Response {
  if (decision === "pass")
    return { status: { code: status.OK }, httpResponse: { case: "okResponse", value: {} } };
  const denial = denialOf(decision);
  return {
    status: { code: denial.status === 401 ? status.UNAUTHENTICATED : status.UNAVAILABLE },
    httpResponse: {
      case: "deniedResponse",
      value: {
        status: { code: denial.status },
        headers: Object.entries(denial.headers).map(([key, value]) => ({ header: { key, value } })),
        body: denial.text,
      },
    },
  };
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
