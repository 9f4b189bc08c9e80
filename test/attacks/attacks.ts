import { setTimeout as delay } from "node:timers/promises";
import { framed } from "../support/http2-call.ts";
import { methodPath } from "../support/raw-channel.ts";
import type { Attack, Extent, Target } from "./attack.ts";
import { repeat } from "./attack.ts";
import { compressedBodies, emptyTokens, longStruct, repeatedQuestions } from "./compressed-bodies.ts";
import { damagedCredentials } from "./damaged-credentials.ts";
import { halfHandshakes } from "./half-handshakes.ts";
import { halfPrefaces } from "./half-prefaces.ts";
import { healthNames } from "./health-names.ts";
import { knocks, requests, unreadRequests } from "./http-floods.ts";
import {
  continuations,
  emptyData,
  type Flood,
  headerBombs,
  hugeHeaders,
  madeResets,
  manyHeaders,
  names,
  openStreams,
  pings,
  priorities,
  rapidResets,
  settings,
  trailers,
  unauthenticatedCalls,
  unknownFrames,
  windowChanges,
  windowUpdates,
} from "./http2-floods.ts";
import { idleConnections } from "./idle-connections.ts";
import { metricsAhead } from "./metrics-ahead.ts";
import { paddedCrumbs } from "./padded-crumbs.ts";
import { rawTokens } from "./raw-tokens.ts";
import { silentHttp, slowBodies, slowHeaders } from "./slow-http.ts";
import { handshakes, renegotiations } from "./tls-floods.ts";
import { trickledMessages, unendedCalls, unfinishedMessages } from "./unfinished-messages.ts";
import { closedWindows, unreadSockets, unreadStream } from "./unread-answers.ts";
import { watchStreams } from "./watch-streams.ts";

const CHECK = { path: methodPath("IsBlacklisted"), message: Buffer.of(10, 1, 97) };
const BLACKLIST = methodPath("Blacklist");
const STREAM_CHECKS = "/tokenblacklist.v1.TokenBlacklist/StreamChecks";
const WATCH = "/tokenblacklist.v1.TokenBlacklist/Watch";
const ENVOY = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH = { check: health("Check"), list: health("List"), watch: health("Watch") };
const REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

function health(method: string) {
  return { path: `/grpc.health.v1.Health/${method}`, message: new Uint8Array() };
}

/** Asks reflection for the file that holds our service. */
const WHICH_FILE = Buffer.concat([Buffer.from([0x22, 32]), Buffer.from("tokenblacklist.v1.TokenBlacklist")]);

const KIB = 1024;
const MIB = 1024 * KIB;
/** More than the file descriptors of the attacked service. */
const CONNECTIONS = 1200;

const METRICS = "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n";
const AUTHZ = "GET /authz HTTP/1.1\r\nhost: a\r\nx-token-id: a\r\n\r\n";

function bearer({ token }: Target): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

type Play = (address: string, extent: { count: number; withinMs: number; tls: boolean }) => Promise<Flood>;

/** A flood of frames, repeatedly on new connections, two at a time, each as long as the service permits. */
function flood(
  name: string,
  sends: string,
  { play, each, count, tls }: { play: Play; each: number; count: number; tls?: true },
): Attack {
  return {
    name,
    sends,
    ...(tls && { tls }),
    play: ({ address }, extent) =>
      repeat(extent, { count, lanes: 2 }, async () => {
        const most = Math.ceil(each * extent.share);
        const { sent } = await play(address, {
          count: most,
          withinMs: Math.min(100, extent.forMs / 4),
          tls: tls === true,
        });
        // Delayed by a service that has stopped reading.
        return sent === -1 ? most : sent;
      }),
  };
}

interface Held {
  readonly connected: number;
  release(): void;
}

async function held(open: (count: number) => Promise<Held>, { share, forMs }: Extent): Promise<number> {
  const connections = await open(Math.ceil(CONNECTIONS * share));
  await delay(forMs);
  connections.release();
  return connections.connected;
}

function times(count: number, { share }: Extent): number {
  return Math.ceil(count * share);
}

/** Addresses of the loopback interface. */
function loopback(index: number): string {
  return `127.0.${1 + (index % 4)}.${1 + (index % 250)}`;
}

/** Every attack, by the stage of a connection that it stops at. */
export const ATTACKS: readonly Attack[] = [
  // TCP
  {
    name: "idle-connections",
    sends: "connections, nothing on them",
    play: ({ address }, extent) => held((count) => idleConnections(address, { count }), extent),
  },
  {
    name: "idle-addresses",
    sends: "connections from 1,000 addresses, nothing on them",
    play: ({ address }, extent) =>
      held((count) => idleConnections(address, { count, localAddress: loopback }), extent),
  },
  {
    name: "idle-admin",
    sends: "connections to ADMIN_ADDRESS, nothing on them",
    play: ({ adminAddress }, extent) => held((count) => idleConnections(adminAddress, { count }), extent),
  },
  {
    name: "idle-authz",
    sends: "connections to AUTHZ_ADDRESS, nothing on them",
    play: ({ authzAddress }, extent) => held((count) => idleConnections(authzAddress, { count }), extent),
  },
  {
    name: "knocks",
    sends: "connections, closed at once, 20 at a time",
    play: ({ address }, { forMs }) => knocks(address, { connections: 20, forMs }),
  },
  {
    name: "knocks-admin",
    sends: "connections to ADMIN_ADDRESS, closed at once, 20 at a time",
    play: ({ adminAddress }, { forMs }) => knocks(adminAddress, { connections: 20, forMs }),
  },
  // TLS
  {
    name: "half-handshakes",
    sends: "connections that stop within TLS's first message",
    tls: true,
    play: ({ address }, extent) => held((count) => halfHandshakes(address, { count }), extent),
  },
  {
    name: "handshakes",
    sends: "TLS handshakes, 10 at a time",
    tls: true,
    play: ({ address }, extent) =>
      repeat(extent, { count: 20_000 }, () => handshakes(address, { count: 10 })),
  },
  {
    name: "renegotiations",
    sends: "renegotiations of TLS 1.2",
    tls: true,
    play: ({ address }, extent) =>
      repeat(extent, { count: 20_000, lanes: 2 }, () => renegotiations(address, { count: 100 })),
  },
  // SETTINGS and other frames of the connection
  {
    name: "half-prefaces",
    sends: "connections that stop before SETTINGS",
    play: ({ address }, extent) => held((count) => halfPrefaces(address, { count }), extent),
  },
  flood("pings", "PING, answers not read", { play: pings, each: 100_000, count: 1_000_000 }),
  flood("settings", "SETTINGS, answers not read", { play: settings, each: 100_000, count: 1_000_000 }),
  flood("window-changes", "SETTINGS that change the windows of 1,000 streams", {
    play: windowChanges,
    each: 20_000,
    count: 200_000,
  }),
  flood("window-updates", "WINDOW_UPDATE", { play: windowUpdates, each: 100_000, count: 1_000_000 }),
  flood("priorities", "PRIORITY", { play: priorities, each: 100_000, count: 1_000_000 }),
  flood("unknown-frames", "frames of no type, and GOAWAY", {
    play: unknownFrames,
    each: 100_000,
    count: 1_000_000,
  }),
  // HEADERS
  flood("continuations", "CONTINUATION without end", { play: continuations, each: 10_000, count: 100_000 }),
  flood("header-bombs", "calls whose headers unfold to 4 MB", {
    play: headerBombs,
    each: 5000,
    count: 100_000,
  }),
  flood("heavy-headers", "streams whose headers unfold to 200 kB, left", {
    play: (address, extent) => headerBombs(address, { ...extent, references: 50 }),
    each: 1000,
    count: 50_000,
  }),
  flood("many-headers", "calls with 1,000 headers", { play: manyHeaders, each: 2000, count: 50_000 }),
  flood("huge-headers", "calls with deadlines, paths, metadata of 15 kB", {
    play: hugeHeaders,
    each: 2000,
    count: 50_000,
  }),
  flood("rapid-resets", "streams that are begun and reset", {
    play: rapidResets,
    each: 20_000,
    count: 400_000,
  }),
  flood("rapid-resets-tls", "streams that are begun and reset, over TLS", {
    play: rapidResets,
    each: 20_000,
    count: 400_000,
    tls: true,
  }),
  flood("header-bombs-tls", "calls whose headers unfold to 4 MB, over TLS", {
    play: headerBombs,
    each: 5000,
    count: 100_000,
    tls: true,
  }),
  flood("made-resets", "streams that the service has to reset", {
    play: madeResets,
    each: 20_000,
    count: 400_000,
  }),
  flood("open-streams", "streams with 15 kB of headers, left", {
    play: openStreams,
    each: 3000,
    count: 60_000,
  }),
  flood("names", "calls of methods that do not exist, each another", {
    play: names,
    each: 20_000,
    count: 200_000,
  }),
  {
    name: "crowded-calls",
    sends: "calls without their body, 100 on each of 60 connections",
    play: ({ address }, { share, forMs }) =>
      unfinishedMessages(address, HEALTH.check.path, {
        connections: Math.ceil(60 * share),
        streams: 100,
        bytes: 2,
        forMs,
      }),
  },
  // Credentials
  flood("unauthenticated", "Blacklist calls without a credential", {
    play: unauthenticatedCalls,
    each: 20_000,
    count: 200_000,
  }),
  flood("unread-refusals", "Blacklist calls without a credential, answers not read", {
    play: (address, extent) => unauthenticatedCalls(address, { ...extent, read: false }),
    each: 20_000,
    count: 200_000,
  }),
  {
    name: "damaged-credentials",
    sends: "calls with a token that some layer drops, over an operator's certificate",
    tls: true,
    async play({ address, authority, operator, token }, extent) {
      let isLetIn = false;
      const sent = await repeat(extent, { count: 3000 }, async () => {
        const result = await damagedCredentials(address, { authority, operator, token }, CHECK);
        isLetIn ||= result === "let in";
        return result === "let in" ? 1 : result;
      });
      return isLetIn ? "let in" : sent;
    },
  },
  // DATA
  ...(["gzip", "deflate", "identity"] as const).flatMap((encoding): Attack[] => [
    {
      name: `tokens-${encoding}`,
      sends: `Blacklist calls without a credential, two million empty tokens, ${encoding}`,
      play: ({ address }, extent) =>
        repeat(extent, { count: 200 }, () =>
          compressedBodies(
            address,
            { path: BLACKLIST, message: emptyTokens(4 * MIB) },
            { count: 20, encoding },
          ),
        ),
    },
    {
      name: `structs-${encoding}`,
      sends: `Envoy's Check without a credential, a Struct of two million, ${encoding}`,
      play: ({ address }, extent) =>
        repeat(extent, { count: 200 }, () =>
          compressedBodies(
            address,
            { path: ENVOY, message: longStruct(4 * MIB - 100) },
            { count: 20, encoding },
          ),
        ),
    },
  ]),
  {
    name: "small-structs",
    sends: "Envoy's Check by a caller, a Struct of 120,000, 20 at a time",
    play: (target, extent) =>
      repeat(extent, { count: 100 }, () =>
        compressedBodies(
          target.address,
          { path: ENVOY, message: longStruct(240 * KIB) },
          { count: times(20, extent), encoding: "identity", headers: bearer(target) },
        ),
      ),
  },
  {
    name: "repeated-questions",
    sends: "StreamChecks by a caller, its question given 2,000 times with 1,000 empty jtis, 10 at a time",
    play: (target, extent) =>
      repeat(extent, { count: 100 }, () =>
        compressedBodies(
          target.address,
          { path: STREAM_CHECKS, message: repeatedQuestions(4 * MIB - 100) },
          { count: times(10, extent), encoding: "identity", headers: bearer(target) },
        ),
      ),
  },
  {
    name: "health-names",
    sends: "health's Watch, each a name of 1 MiB",
    play: ({ address }, extent) => healthNames(address, { count: times(300, extent), bytes: MIB }),
  },
  ...(
    [
      ["unfinished-calls", BLACKLIST, "Blacklist"],
      ["unfinished-streams", STREAM_CHECKS, "StreamChecks"],
      ["unfinished-watches", WATCH, "Watch"],
      ["unfinished-health", HEALTH.check.path, "health's Check"],
      ["unfinished-reflection", REFLECTION, "reflection"],
    ] as const
  ).map(
    ([name, path, what]): Attack => ({
      name,
      sends: `${what}, all of 4 MiB but the last byte`,
      play: ({ address }, { share, forMs }) =>
        unfinishedMessages(address, path, {
          connections: 4,
          streams: Math.ceil(100 * share),
          bytes: 4 * MIB,
          forMs,
        }),
    }),
  ),
  {
    name: "unfinished-by-caller",
    sends: "Blacklist by a caller, all of 4 MiB but the last byte",
    play: (target, { share, forMs }) =>
      unfinishedMessages(target.address, BLACKLIST, {
        connections: 4,
        streams: Math.ceil(100 * share),
        bytes: 4 * MIB,
        forMs,
        headers: bearer(target),
      }),
  },
  {
    name: "unended-by-caller",
    sends: "Blacklist by a caller with 1,000 empty tokens, not half-closed, 100 on each of 10 connections",
    play: (target, { share, forMs }) =>
      unendedCalls(target.address, BLACKLIST, {
        connections: Math.ceil(10 * share),
        streams: 100,
        message: emptyTokens(2000),
        forMs,
        headers: bearer(target),
      }),
  },
  {
    name: "heavy-headers-by-caller",
    sends: "calls of a caller with 14 kB of headers, without their body, 100 on each of 150 connections",
    play: (target, { share, forMs }) =>
      unfinishedMessages(target.address, BLACKLIST, {
        connections: Math.ceil(150 * share),
        streams: 100,
        bytes: 1,
        forMs,
        headers: { ...bearer(target), "x-large": "v".repeat(14_000) },
      }),
  },
  {
    name: "padded-crumbs",
    sends: "one byte of health's Check, and frames that are ignored, on 3,000 streams",
    play: ({ address }, { share, forMs }) =>
      paddedCrumbs(address, HEALTH.check.path, {
        connections: Math.ceil(100 * share),
        streams: 30,
        forMs,
      }),
  },
  {
    name: "padded-crumbs-by-caller",
    sends: "one byte of a caller's Blacklist, and frames that are ignored, on 5,000 streams",
    play: (target, { share, forMs }) =>
      paddedCrumbs(target.address, BLACKLIST, {
        connections: Math.ceil(50 * share),
        streams: 100,
        forMs,
        headers: bearer(target),
      }),
  },
  {
    name: "padded-messages-by-caller",
    sends: "the first message of a caller's Watch, and frames that are ignored, on 2,000 streams",
    play: (target, { share, forMs }) =>
      paddedCrumbs(target.address, WATCH, {
        connections: Math.ceil(25 * share),
        streams: 80,
        forMs,
        headers: bearer(target),
        sent: framed(Buffer.of(10, 3, 18, 1, 1)),
      }),
  },
  {
    name: "trickled-health",
    sends: "bytes of health's Check, each in a frame, on 500 streams",
    play: ({ address }, { share, forMs }) =>
      trickledMessages(address, HEALTH.check.path, {
        streams: times(500, { share, forMs }),
        bytes: 500,
        forMs,
      }),
  },
  {
    name: "trickled-by-caller",
    sends: "bytes of a caller's Blacklist, each in a frame, on 500 streams",
    play: (target, { share, forMs }) =>
      trickledMessages(target.address, BLACKLIST, {
        streams: Math.ceil(500 * share),
        bytes: 4 * MIB,
        forMs,
        headers: bearer(target),
      }),
  },
  flood("empty-data", "DATA without data", { play: emptyData, each: 50_000, count: 500_000 }),
  flood("trailers", "trailers of 15 kB", { play: trailers, each: 2000, count: 50_000 }),
  // Answers
  {
    name: "closed-windows",
    sends: "health's Check, List and Watch, and reflection, with windows of 0",
    play: ({ address }, { share, forMs }) =>
      closedWindows(
        address,
        [HEALTH.check, HEALTH.list, HEALTH.watch, { path: REFLECTION, message: WHICH_FILE }],
        { connections: 10, streams: Math.ceil(1000 * share), forMs },
      ),
  },
  {
    name: "unread-reflection",
    sends: "reflection requests on one stream with a window of 0",
    play: ({ address }, { share, forMs }) =>
      unreadStream(
        address,
        { path: REFLECTION, message: WHICH_FILE },
        { count: Math.ceil(100_000 * share), forMs },
      ),
  },
  {
    name: "unread-sockets",
    sends: "reflection requests, 1,300 on each of 20 connections that are not read",
    play: ({ address }, { share, forMs }) =>
      unreadSockets(
        address,
        { path: REFLECTION, message: WHICH_FILE },
        { connections: Math.ceil(10 * share), forMs },
      ),
  },
  {
    name: "health-watches",
    sends: "streams of health's Watch, 1,000 on each connection",
    play: ({ address }, { share, forMs }) =>
      closedWindows(address, [HEALTH.watch], { connections: 10, streams: Math.ceil(1000 * share), forMs }),
  },
  // HTTP
  ...(
    [
      ["admin", ({ adminAddress }: Target) => adminAddress],
      ["authz", ({ authzAddress }: Target) => authzAddress],
    ] as const
  ).flatMap(([port, addressOf]): Attack[] => [
    {
      name: `slow-headers-${port}`,
      sends: `requests to ${port}, headers a byte at a time`,
      play: async (target, { share, forMs }) =>
        (await slowHeaders(addressOf(target), { count: Math.ceil(300 * share), forMs })).opened,
    },
    {
      name: `slow-bodies-${port}`,
      sends: `requests to ${port}, bodies a byte at a time`,
      play: async (target, { share, forMs }) =>
        (await slowBodies(addressOf(target), { count: Math.ceil(300 * share), forMs })).opened,
    },
    {
      name: `silent-${port}`,
      sends: `connections to ${port}, nothing on them, slowly`,
      play: async (target, { share, forMs }) =>
        (await silentHttp(addressOf(target), { count: Math.ceil(300 * share), forMs })).opened,
    },
  ]),
  {
    name: "metrics-ahead",
    sends: "bytes of responses to 1,000 pipelined requests for metrics",
    play: ({ adminAddress }, extent) =>
      repeat(extent, { count: 20_000_000 }, () =>
        metricsAhead(adminAddress, { count: times(1000, extent), silentMs: 200 }),
      ),
  },
  {
    name: "metrics",
    sends: "requests for metrics, on 40 connections",
    play: ({ adminAddress }, { forMs }) => requests(adminAddress, METRICS, { connections: 40, forMs }),
  },
  {
    name: "unread-metrics",
    sends: "requests for metrics, without reading the responses",
    play: ({ adminAddress }, { forMs }) => unreadRequests(adminAddress, METRICS, { connections: 10, forMs }),
  },
  {
    name: "authz-questions",
    sends: "requests to AUTHZ_ADDRESS, on 40 connections",
    play: ({ authzAddress }, { forMs }) => requests(authzAddress, AUTHZ, { connections: 40, forMs }),
  },
  {
    name: "unread-authz",
    sends: "requests to AUTHZ_ADDRESS, without reading the responses",
    play: ({ authzAddress }, { forMs }) => unreadRequests(authzAddress, AUTHZ, { connections: 10, forMs }),
  },
  {
    name: "authz-bodies",
    sends: "requests to AUTHZ_ADDRESS with a body of 2 MiB",
    play: ({ authzAddress }, { forMs }) =>
      requests(
        authzAddress,
        `POST /authz HTTP/1.1\r\nhost: a\r\nx-token-id: a\r\ncontent-length: ${2 * MIB}\r\n\r\n${"b".repeat(2 * MIB)}`,
        { connections: 10, forMs },
      ),
  },
  // By a caller that uses all capacity
  ...(
    [
      ["raw-tokens", "raw tokens, 100 a request, 10 requests at once", 100],
      ["many-raw-tokens", "raw tokens, 1,000 a request, 10 requests at once", 1000],
    ] as const
  ).map(
    ([name, sends, most]): Attack => ({
      name,
      sends,
      play: (target, extent) =>
        repeat(extent, { count: 1_000_000 }, async () => {
          const tokens = times(most, extent);
          const credentials = { authorization: `Bearer ${target.token}`, jwt: target.rawToken };
          await rawTokens(target.address, credentials, { requests: 10, atOnce: 10, tokens });
          return 10 * tokens;
        }),
    }),
  ),
  {
    name: "watch-streams",
    sends: "streams of Watch",
    async play({ address, token }, extent) {
      const count = times(10_000, extent);
      const held = await watchStreams(address, `Bearer ${token}`, { count });
      await delay(extent.forMs);
      await held.release();
      return count;
    },
  },
];
