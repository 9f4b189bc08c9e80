/**
 * Bounds that the documentation states, or that several parts share. Those that callers can observe are part of the contract (see
 * `proto/`); those that protect the service are compared with docs/security.md. Any other bound stands in the file that it bounds.
 */

/** Bytes of UTF-8 in the key of an entry, and so in a jti. The column in the database is as wide: not every engine can index a wider one. */
export const MAX_KEY_BYTES = 255;
/** Bytes of UTF-8 in a reason. */
export const MAX_REASON_BYTES = 512;
/** Bytes of UTF-8 in `revoked_by`. */
export const MAX_REVOKED_BY_BYTES = 255;
/** Tokens in one Blacklist request; jtis in one IsBlacklisted request or List filter. */
export const MAX_BATCH = 1000;

/** Bytes of one request. 1000 tokens with every field at its limit take less than 1 MiB; the rest is room for raw JWTs. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Bytes of one request without raw tokens, and of a question on a stream: 1000 jtis of 255 bytes, a page token, and a reserve. */
export const MAX_SMALL_REQUEST_BYTES = 300 * 1024;
/** Bytes of one request that has no tokens, and of a message of `Watch`. */
export const MAX_TINY_REQUEST_BYTES = 8 * 1024;
/**
 * Fields of one request, nested ones included: 16 for each token. Decoding so many takes some 2 ms. A field may take only two bytes, so a
 * request within its limit of bytes could have two million fields, whose decoding takes a tenth of a second.
 */
export const MAX_FIELDS = 16 * MAX_BATCH;
/** Bytes of one request from Envoy: the headers of a request (by default at most 60 KiB), once or twice, and its metadata. */
export const MAX_ENVOY_REQUEST_BYTES = 256 * 1024;
/** Fields of one request from Envoy, nested ones included: hundreds of headers, and claims with long lists. Decoding takes some 5 ms. */
export const MAX_ENVOY_FIELDS = 10_000;
/** Time for a request to arrive, counted from its headers. */
export const MAX_RECEIVE_MS = 10_000;
/** Bytes that count toward MAX_UNFINISHED_BYTES for a known caller's call that waits for its message: the call holds as much memory. */
export const WAITING_CALL_BYTES = 16 * 1024;
/**
 * A message is late if it has not arrived this long after the headers. While more than half of MAX_UNFINISHED_BYTES is taken, connections with
 * late messages are read in turns.
 */
export const LATE_MESSAGE_MS = 25;
/** How long a client may keep its side of a stream open after the end of its call: it may learn of the end while it is sending. */
export const CLIENT_END_MS = 100;
/** Bytes of incomplete requests in the whole process. */
export const MAX_UNFINISHED_BYTES = 32 * 1024 * 1024;
/** Bytes of incomplete requests on one connection: four of the largest requests. */
export const MAX_UNFINISHED_CONNECTION_BYTES = 18 * 1024 * 1024;
/** Memory of a chunk of a message beyond its bytes: a message may arrive in chunks of one byte. */
export const CHUNK_OVERHEAD_BYTES = 256;
/**
 * Chunks in which a message may arrive: this many, and one more for each FRAGMENT_BYTES that have arrived. Ordinary clients send HTTP/2 frames
 * of at least a packet; with smaller ones a client could use up the processor.
 */
export const MAX_FRAGMENTS = 16;
export const FRAGMENT_BYTES = 512;
/** Concurrent streams on one connection. One read can open all of them, at up to 0.1 ms each, before anything else runs. */
export const MAX_CONCURRENT_STREAMS = 100;
/** Smaller requests are bounded by the number of calls, not by the bytes of requests in flight. */
export const LARGE_REQUEST_BYTES = 16 * 1024;
/** Bytes of answers that one connection's client may leave unread before its calls are refused: four of the largest answers. */
export const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
/** Smaller answers, and this much of a stream of answers, do not count toward {@link MAX_UNSENT_BYTES}: at most 1.6 MB on one connection. */
export const SMALL_ANSWER_BYTES = 16 * 1024;
/** A client is asked to reconnect at this age of its connection, since replicas started later would otherwise never get a share. */
export const MAX_CONNECTION_AGE_MS = 10 * 60_000;
/** The longest delay: 24 days. Timers of Node.js and deadlines of grpc-js have 31 bits of milliseconds; longer delays would end at once. */
export const MAX_TIMER_MS = 24 * 24 * 3_600_000;
/** The deadline of a call that has none, so that no call waits forever. */
export const DEFAULT_DEADLINE_MS = 10_000;

export const DEFAULT_PAGE_SIZE = 100;
export const MAX_PAGE_SIZE = 1000;
/** Bytes of a page token. It holds one jti, at most 2.2 KiB when fully escaped. */
export const MAX_PAGE_TOKEN_BYTES = 4096;

export const DEFAULT_PRUNE_COUNT = 10_000;
export const MAX_PRUNE_COUNT = 100_000;
/** How long the stamp of a commit is kept, which distinguishes its revision from another with the same number. */
export const COMMIT_RETENTION_MS = 24 * 3_600_000;
/** At a larger skew between the service's clock and the database's, nothing is pruned. */
export const MAX_CLOCK_SKEW_MS = 30_000;

/** Jtis queued for look-up before IsBlacklisted is refused as OVERLOADED. */
export const MAX_QUEUED_JTIS = 500_000;

/** Rows of one read of the changes: more than one commit holds, and read and applied within a few milliseconds. */
export const TAIL_PAGE = 2500;
/** Rows of one page while the index loads: a millisecond of the event loop. */
export const SCAN_PAGE = 2000;

/** Delay before loading the index again after it was full: by then many entries may have expired. */
export const INDEX_RETRY_MS = 10 * 60_000;
/** Recently read revisions whose stamps are kept in memory: a caller's `at_least_revision` is nearly always among the latest. */
export const KEPT_STAMPS = 10_000;
/** Interval at which a part of the index is swept for expired entries. */
export const SWEEP_INDEX_MS = 1000;
/** Segments of that part: well below a millisecond of work. */
export const SWEEP_INDEX_SEGMENTS = 4;

/** Entries of one message to a copy: as many as the largest change has. Applied within a millisecond. */
export const MAX_ENTRIES_PER_MESSAGE = 2500;
/** Concurrent Watch streams, each counted until its last byte has been sent: 80 kB each, or 16 kB on a shared connection. */
export const MAX_WATCHES = 10_000;
/** A stream sends a heartbeat after this long without a change or a proof. */
export const WATCH_HEARTBEAT_MS = 5000;
/** A client that has read nothing for this long is disconnected. */
export const MAX_STREAM_STALL_MS = 60_000;
/** A client that has not read the end of a stream within this time is disconnected, since unread data stays in memory until then. */
export const STREAM_END_MS = 10_000;

/** Concurrent StreamChecks streams, each counted until its last byte has been sent. */
export const MAX_CHECK_STREAMS = 10_000;
/** Questions of one stream in flight, each until its answer has been sent; further ones are not read. 64 of 1000 tokens hold 4 MB. */
export const MAX_STREAM_QUESTIONS = 64;

/** Timeout of one statement or connection attempt, so that a dead connection is replaced within two seconds of the network's recovery. */
export const STORE_TIMEOUT_MS = 1500;

/** Bytes of a raw token to blacklist, or of a bearer token. A longer one is refused before it is parsed. */
export const MAX_JWT_BYTES = 16 * 1024;
/** Raw tokens in one Blacklist request; a logout has one or two. Verifying one takes about 0.3 ms of the event loop. */
export const MAX_RAW_TOKENS = 100;

/** Interval at which the TLS files are read for changes. */
export const TLS_RELOAD_MS = 10_000;
/** Timeout of a TLS handshake. */
export const TLS_HANDSHAKE_MS = 10_000;
/** How long after accept the setup before a first call may take: TLS, then HTTP/2's preface and SETTINGS. */
export const READY_MS = TLS_HANDSHAKE_MS + 5000;
/** How long an unauthenticated connection may be idle: longer than the intervals of load balancers' probes. */
export const UNUSED_CONNECTION_MS = 60_000;
/** Unauthenticated connections: about 20 kB each, 60 kB over TLS. Enough for the gateways of a fleet that reconnect at once. */
export const MAX_UNAUTHENTICATED_CONNECTIONS = 1500;
/** Connections to ADMIN_ADDRESS: a few probes and scrapers. */
export const MAX_ADMIN_CONNECTIONS = 64;

/** Bytes of the headers of one call: a token of maximum size, and as much again for headers of tracing and proxies. */
export const MAX_CALL_HEADER_BYTES = 32 * 1024;
/**
 * Bytes of large headers (above LARGE_HEADER_BYTES) that the calls in flight on authenticated connections hold together; those on
 * unauthenticated connections may hold as much again. Without this limit, the calls in flight could hold half a gigabyte.
 */
export const MAX_LARGE_HEADERS_BYTES = 16 * 1024 * 1024;
/** Headers up to this size (a token of 2 KiB, and as much again) are bounded by the number of calls alone. */
export const LARGE_HEADER_BYTES = 4 * 1024;
/** Number of headers of one call. One encoded byte can stand for a header of 4 KiB, which HTTP/2 decodes before it checks the size. */
export const MAX_CALL_HEADERS = 64;
/** Unacknowledged pings and SETTINGS frames that the service has sent. */
export const MAX_OUTSTANDING_ACKS = 10;
/** Settings in one SETTINGS frame. HTTP/2 defines ten. */
export const MAX_SETTINGS_PER_FRAME = 32;
/** A connection is closed after this many frames that violate the protocol, are empty, or open a stream above the limit. */
export const MAX_INVALID_FRAMES = 1000;
/** A connection is closed after this many streams that were rejected for lack of memory. */
export const MAX_REJECTED_STREAMS = 100;
/** Streams that a peer may reset at once before they end. A client whose deadline passes resets its stream. */
export const STREAM_RESET_BURST = 1000;
/** Further streams that a peer may reset per second. In Node.js before 22.10 both numbers are fixed. */
export const STREAM_RESETS_PER_SECOND = 33;

/**
 * Calls begin for at most this long in one turn of the event loop, because one read can bring a thousand calls. On unauthenticated connections
 * the remaining calls then wait for as long; on other connections they begin in the next turn.
 */
export const CALL_SLICE_MS = 5;
/**
 * The most unauthenticated connections that are read in one turn of the event loop, because their data delays other connections. After a turn
 * longer than LONG_TURN_MS only one is read per turn, and one more after every second without such a turn. Connections with late messages
 * have turns of their own, by the same rules.
 */
export const MAX_READERS = 16;
export const LONG_TURN_MS = 10;
/**
 * Calls in flight on one unauthenticated connection, by SETTINGS; HTTP/2 refuses further ones cheaply. Once a caller is authenticated,
 * {@link MAX_CONCURRENT_STREAMS} applies.
 */
export const MAX_UNAUTHENTICATED_STREAMS = 32;
/** Calls that may begin on such a connection in one turn: only a peer that resets them as it sends them begins more. */
export const MAX_TURN_CALLS = 64;
/** Bytes that such a connection may send in one turn without a call: a window of DATA and a read of Node.js, 64 KiB each. */
export const MAX_TURN_BYTES = 128 * 1024;
/** SETTINGS frames on one connection, each of which may change a thousand streams. Clients that adapt their windows send a dozen. */
export const MAX_SETTINGS_FRAMES = 200;

/** Concurrent health Watch streams in total. */
export const MAX_HEALTH_WATCHES = 1000;
/** Concurrent health Watch streams on one connection. */
export const MAX_CONNECTION_HEALTH_WATCHES = 25;
/** Bytes of a request that needs no credential, to health or reflection: names of services have about fifty. */
export const MAX_OPEN_REQUEST_BYTES = 512;
/** Chunks in which such a request may arrive, each with {@link CHUNK_OVERHEAD_BYTES}: clients send one, or a prefix and a message. */
export const MAX_OPEN_REQUEST_CHUNKS = 8;
/** Health and reflection calls in flight on connections of known callers: 3000, which take 75 MB, and the Watch streams. A probe has one call. */
export const MAX_OPEN_CALLS = 3000 + MAX_HEALTH_WATCHES;
/** Calls in flight on unauthenticated connections, in total: 12 MB at most. Each {@link LARGE_HEADER_BYTES} of headers count as another call. */
export const MAX_UNAUTHENTICATED_CALLS = 3000;

/** Time for a request to ADMIN_ADDRESS to arrive. */
export const ADMIN_REQUEST_MS = 5000;
/** Bytes of the headers of such a request. */
export const MAX_ADMIN_HEADER_BYTES = 8 * 1024;
/** How long a connection to ADMIN_ADDRESS may be idle. */
export const ADMIN_KEEP_ALIVE_MS = 5000;
/** How long such a connection may leave an answer unread. */
export const ADMIN_SOCKET_MS = 10_000;
/** Requests on one such connection. */
export const MAX_ADMIN_REQUESTS = 1000;

/** The pause after rendering the metrics, as a multiple of the rendering's duration: at most a fifth of the processor is used. */
export const RENDERING_PAUSE_RATIO = 4;

/** Unanswered requests on one connection to AUTHZ_ADDRESS. Proxies wait for an answer before they send the next request. */
export const MAX_AUTHZ_UNANSWERED = 16;
/** Bytes of the headers of a request to AUTHZ_ADDRESS: a token of maximum size, and as much again for headers that a proxy adds. */
export const MAX_AUTHZ_HEADER_BYTES = 2 * MAX_JWT_BYTES;
/** Bytes of such a request's body, which is read and ignored: more than a form or a small upload, if a proxy forwards it. */
export const MAX_AUTHZ_BODY_BYTES = 1024 * 1024;
/** Time for such a request to arrive. */
export const AUTHZ_REQUEST_MS = 5000;
/** How long such a connection may be idle: longer than proxies keep theirs (60 to 90 s), so that none is closed as a request arrives. */
export const AUTHZ_KEEP_ALIVE_MS = 120_000;
/** Connections of proxies to AUTHZ_ADDRESS: 128 MiB with headers at their bound. */
export const MAX_AUTHZ_CONNECTIONS = 4096;

/** The client library's timeout of a check. The service's read times out after {@link STORE_TIMEOUT_MS}, so a later answer is unlikely. */
export const CHECK_TIMEOUT_MS = 2000;
/** Checks queued in one client before further ones are refused: about 20 MB, and far more than a process can serve in time. */
export const MAX_PENDING_CHECKS = 50_000;
/** Names in the metadata of one question on a stream. */
export const MAX_QUESTION_METADATA = 16;
/** Bytes of the names and values in the metadata of one question. W3C's `baggage` has at most 8 KiB. */
export const MAX_QUESTION_METADATA_BYTES = 8 * 1024;
/** Attempts of the client at one call. */
export const MAX_CALL_ATTEMPTS = 10;
