import type { JsonObject, JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import { type Server, status } from "@grpc/grpc-js";
import type { AttributeContext } from "../../gen/envoy/service/auth/v3/attribute_context_pb.js";
import { Authorization, type CheckResponseSchema } from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import type { PresentedCredentials } from "../auth/presented-token.ts";
import { isAcceptedType, isSecurityEvent } from "../auth/verify.ts";
import { DENIALS } from "../authz/denial.ts";
import { isPreflight } from "../authz/presented-credentials.ts";
import type { TokenAuthorizer } from "../authz/token-authorizer.ts";
import type { Decision } from "../decision.ts";
import { addAuthenticatedService, type CallEnvironment } from "./authenticated-service.ts";
import type { IncomingCalls } from "./incoming-call.ts";
import { AUTHORIZATION_RULES } from "./methods.ts";

/** The metadata key under which Envoy's JWT filter stores the payloads of the tokens that it has verified. */
const JWT_AUTHN = "envoy.filters.http.jwt_authn";

/** Serves Envoy's `ext_authz`: before Envoy forwards a request, it asks whether the request's token is revoked. */
export function addExtAuthz(
  server: Server,
  {
    authorizer,
    environment,
    incoming,
  }: { authorizer: TokenAuthorizer; environment: CallEnvironment; incoming: IncomingCalls },
): void {
  const respond = (decision: Decision) => {
    environment.metrics.decisions.count("ext_authz", decision);
    return responseTo(decision);
  };
  addAuthenticatedService(server, Authorization, {
    rules: AUTHORIZATION_RULES,
    handlers: {
      check({ attributes }, caller) {
        const decision = authorizer.decide(presentedIn(attributes), caller);
        return decision instanceof Promise ? decision.then(respond) : respond(decision);
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
 * The jti of each token that Envoy has verified; undefined for a token without a jti. Envoy stores a token's payload under a key that the
 * operator chooses (`payload_in_metadata`), or the token's claims as keys of the metadata. If any token is of a kind that grants no access, the
 * result is [null]: null is not a valid jti, so the request is denied.
 */
function verifiedJtisIn(metadata: Readonly<Record<string, JsonObject>> = {}): unknown[] {
  const verified = metadata[JWT_AUTHN];
  if (!isObject(verified)) return [];
  const payloads = Object.values(verified).filter(isObject);
  if ([verified, ...payloads].some(grantsNoAccess)) return [null];
  const jtis: unknown[] = payloads.map(({ jti }) => jti);
  const { jti } = verified;
  return jti === undefined || isObject(jti) ? jtis : [...jtis, jti];
}

/**
 * Whether a token's payload or header (`header_in_metadata`) shows that it grants no access, such as a logout token. Envoy verifies signatures,
 * but not token types.
 */
function grantsNoAccess(part: JsonObject): boolean {
  const isHeader = part.alg !== undefined;
  return isSecurityEvent(part) || (isHeader && !isAcceptedType(part.typ));
}

/**
 * The values of the header with the lower-case `name`. Envoy sends headers as text, with the values of repeated headers joined, or, with
 * `encode_raw_headers`, each as bytes.
 */
function valuesOf(attributes: AttributeContext | undefined, name: string): string[] {
  const { headers = {}, headerMap } = attributes?.request?.http ?? {};
  const raw = (headerMap?.headers ?? []).map(({ key, value, rawValue }): [string, string] => [
    key,
    rawValue.length > 0 ? Buffer.from(rawValue).toString("latin1") : value,
  ]);
  const all = [...Object.entries(headers), ...raw];
  return all.flatMap(([key, value]) => (key.toLowerCase() === name ? [value] : []));
}

function responseTo(decision: Decision): Response {
  if (decision === "pass")
    return { status: { code: status.OK }, httpResponse: { case: "okResponse", value: {} } };
  const denial = DENIALS[decision];
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
