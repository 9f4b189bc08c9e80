import { create, fromBinary, type JsonObject, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from "../../gen/envoy/service/auth/v3/external_auth_pb.js";
import type { RawAnswer, RawCallOptions, RawChannel } from "./raw-channel.ts";

export const CHECK_PATH = "/envoy.service.auth.v3.Authorization/Check";

/** The properties of a request as seen by Envoy. */
export interface Found {
  /** The output of jwt_authn: payloads by the name of `payload_in_metadata`. */
  readonly metadata?: JsonObject;
  readonly headers?: Readonly<Record<string, string>>;
  /** Replaces the headers, as with `encode_raw_headers`. */
  /** Default: GET. */
  readonly method?: string;
  readonly rawHeaders?: readonly (readonly [name: string, value: string])[];
}

/** A CheckRequest as Envoy's HTTP filter creates it: the peers, the request, and the configured metadata namespaces. */
export function checkRequest({ metadata, headers = {}, method = "GET", rawHeaders }: Found): Uint8Array {
  const address = (host: string, port: number) => ({
    address: {
      case: "socketAddress" as const,
      value: { address: host, portSpecifier: { case: "portValue" as const, value: port } },
    },
  });
  const init: MessageInitShape<typeof CheckRequestSchema> = {
    attributes: {
      source: { address: address("10.1.2.3", 40112) },
      destination: { address: address("10.1.2.4", 8443), principal: "spiffe://mesh.test/ns/shop/sa/web" },
      request: {
        time: { seconds: 1_795_000_000n, nanos: 5_000_000 },
        http: {
          id: "4572830190117182831",
          method,
          headers:
            rawHeaders === undefined
              ? {
                  ":authority": "shop.test",
                  ":method": method,
                  ":path": "/orders?page=2",
                  ":scheme": "https",
                  "user-agent": "test",
                  "x-forwarded-proto": "https",
                  "x-request-id": "8b3c2a9e-59f6-4d6c-9f0e-0d7a3c5e1f20",
                  ...headers,
                }
              : {},
          ...(rawHeaders && {
            headerMap: {
              headers: rawHeaders.map(([key, value]) => ({ key, rawValue: Buffer.from(value) })),
            },
          }),
          path: "/orders?page=2",
          host: "shop.test",
          scheme: "https",
          protocol: "HTTP/2",
          size: -1n,
        },
      },
      metadataContext: {
        filterMetadata: metadata === undefined ? {} : { "envoy.filters.http.jwt_authn": metadata },
      },
      routeMetadataContext: {},
    },
  };
  return toBinary(CheckRequestSchema, create(CheckRequestSchema, init));
}

export function sendCheck(
  channel: RawChannel,
  found: Found,
  options: RawCallOptions = { timeoutMs: 8000 },
): Promise<RawAnswer> {
  return channel.call(CHECK_PATH, checkRequest(found), options);
}

/** Envoy's reaction to a response: it passes the request on or sends this denial. Envoy treats every status but OK as a failure. */
export function outcomeOf({ code, bytes }: RawAnswer): unknown {
  if (code !== "OK" || bytes === undefined) return code;
  const response: CheckResponse = fromBinary(CheckResponseSchema, bytes);
  const { status, httpResponse } = response;
  if (httpResponse.case !== "deniedResponse") return { rpc: status?.code, passes: httpResponse.case };
  const { value } = httpResponse;
  return {
    rpc: status?.code,
    status: value.status?.code,
    headers: Object.fromEntries(value.headers.map(({ header }) => [header?.key, header?.value])),
    body: value.body,
  };
}
