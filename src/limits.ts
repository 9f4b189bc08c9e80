/**
 * Bounds that callers or operators can observe, or that several parts share. Those that callers can observe are part of the contract (see
 * `proto/`). Any other bound stands in the file that it bounds.
 */

/** Bytes of UTF-8 in the key of an entry, and so in a jti. The column has the same width; a wider key would not fit the index of every engine. */
export const MAX_KEY_BYTES = 255;
/** Bytes of UTF-8 in a reason. */
export const MAX_REASON_BYTES = 512;
/** Bytes of UTF-8 in `revoked_by`. */
export const MAX_REVOKED_BY_BYTES = 255;
/** Tokens in one Blacklist request; jtis in one IsBlacklisted request or List filter. */
export const MAX_BATCH = 1000;

/** Bytes of one request. 1000 tokens with every field at its limit take less than 1 MiB; the rest is room for raw JWTs. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/**
 * Bytes of one request of a method that takes no raw tokens, and of a question on a stream: 1000 jtis of 255 bytes, a page token, and a
 * reserve.
 */
export const MAX_SMALL_REQUEST_BYTES = 300 * 1024;
/** Bytes of one request that names no tokens, and of a message of `Watch`. */
export const MAX_TINY_REQUEST_BYTES = 8 * 1024;
/** Bytes of one request from Envoy: the headers of a request (by default at most 60 KiB), once or twice, and its metadata. */
export const MAX_ENVOY_REQUEST_BYTES = 256 * 1024;
/** Fields of one such request, those of nested messages included: hundreds of headers, and claims with lists of thousands. Decoding them takes some 5 ms. */
export const MAX_ENVOY_FIELDS = 10_000;
/** Time for a request to arrive, counted from its headers. */
export const MAX_RECEIVE_MS = 10_000;
/** How long a client may keep its side of a stream open after the end of its call. Data that it is still sending crosses that end. */
export const CLIENT_END_MS = 100;
/** Bytes of incomplete requests: in the whole process, and on one connection (four of the largest requests). */
export const MAX_UNFINISHED_BYTES = 32 * 1024 * 1024;
export const MAX_UNFINISHED_CONNECTION_BYTES = 18 * 1024 * 1024;
/** Overhead of a chunk of a message, in bytes: a message may arrive in chunks of one byte. */
export const CHUNK_OVERHEAD_BYTES = 256;
/**
 * Chunks in which a message may arrive: this many, and one for each FRAGMENT_BYTES of what has arrived. HTTP/2 frames are as large as a
 * client's buffer, or a packet of the network at least; the processor time of smaller ones is the client's way to stall the service.
 */
export const MAX_FRAGMENTS = 16;
export const FRAGMENT_BYTES = 512;
/**
 * Concurrent streams on one connection; grpc-js sets no limit by itself. One read can open as many, at up to 0.1 ms each, before anything
 * else runs.
 */
export const MAX_CONCURRENT_STREAMS = 100;
/** Smaller requests do not count toward that; the bound on calls limits them. */
export const LARGE_REQUEST_BYTES = 16 * 1024;
/** Bytes of answers that one connection's client may leave unread before its calls are refused: four of the largest answers. */
export const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
/**
 * Smaller answers do not count toward that, nor does this much of a stream of answers: one for each stream of a connection takes little
 * memory together.
 */
export const SMALL_ANSWER_BYTES = 16 * 1024;
/** A connection is asked to reconnect at this age, since replicas started later would otherwise never get a share. */
export const MAX_CONNECTION_AGE_MS = 10 * 60_000;
/** How long a call on such a connection may still run. */
export const MAX_CONNECTION_AGE_GRACE_MS = 60_000;
/**
 * The longest delay: 24 days, in whole seconds. Timers of Node.js and deadlines of grpc-js have 32 bits of milliseconds, and a longer delay
 * would end at once.
 */
export const MAX_TIMER_MS = 24 * 24 * 3_600_000;
/** The deadline of a call that has none, so that no call waits forever. */
export const DEFAULT_DEADLINE_MS = 10_000;

export const DEFAULT_PAGE_SIZE = 100;
export const MAX_PAGE_SIZE = 1000;
/** Bytes of a page token. A token holds one jti, at most 2.2 KiB when fully escaped, so a longer text is not one of ours. */
export const MAX_PAGE_TOKEN_BYTES = 4096;

export const DEFAULT_PRUNE_COUNT = 10_000;
export const MAX_PRUNE_COUNT = 100_000;
/** Rows of one DELETE. Larger chunks prune a fifth faster, but delay concurrent checks longer. */
export const PRUNE_CHUNK = 150;
/** While there are checks, the pause after a chunk is this multiple of the chunk's own duration. */
export const PRUNE_PAUSE_RATIO = 2;
/** A Prune call stops after this time and leaves the rest to the next call. Below the default deadline of a call. */
export const PRUNE_CALL_MS = 5000;
/** How long the stamp of a commit is kept: the age up to which a revision can be distinguished from another with the same number. */
export const COMMIT_RETENTION_MS = 24 * 3_600_000;
/** At a larger skew between the two clocks, nothing is pruned. */
export const MAX_CLOCK_SKEW_MS = 30_000;

/** Rows and bytes of one commit. It stays far below `max_allowed_packet` (16 MiB) and holds its lock briefly. */
export const MAX_COMMIT_ROWS = 2000;
export const MAX_COMMIT_BYTES = 1024 * 1024;
/** Tokens queued to be written before Blacklist is refused as OVERLOADED: as many as ten full commits. */
export const MAX_QUEUED_TOKENS = 20_000;

/** Jtis of one coalesced read, which then takes about five milliseconds. Later calls wait for the next read. */
export const MAX_READ_JTIS = 1000;
/** Bytes of these jtis. As hexadecimal literals they stay below SQLite's bound on the text of a statement, 1,000,000 bytes. */
export const MAX_READ_BYTES = 300 * 1024;
/** Jtis queued for look-up before IsBlacklisted is refused as OVERLOADED. */
export const MAX_QUEUED_JTIS = 500_000;

/** Rows of one tail read: more than one commit holds, and read and applied within a few milliseconds. */
export const TAIL_PAGE = 2500;
/** Rows of one page while the index loads: a millisecond of the event loop. */
export const SCAN_PAGE = 2000;

/** Interval at which read connections are replaced while their server is read-only. */
export const RENEW_READERS_MS = 1000;
/** Delay before loading the index again, after a failure, and after it was found too small: by then many entries may have expired. */
export const LOAD_RETRY_MS = 250;
export const INDEX_RETRY_MS = 10 * 60_000;
/** Pause after a failed read, so that an unavailable database does not get thousands of attempts a second. */
export const FAILED_READ_PAUSE_MS = 20;
/** Turns of the event loop by which a read is delayed while further calls join it: a burst arrives over several turns. */
export const READ_TURNS = 4;
/** Recently read revisions whose stamps are kept: a caller's `at_least_revision` is nearly always among the latest. */
export const OBSERVED_REVISIONS = 10_000;
/**
 * Locally acknowledged commits that the next read must find one by one. If more accumulate, because nothing is read, they are looked up
 * first, with one small additional SELECT per this many commits.
 */
export const MAX_PENDING_COMMITS = 60;
/**
 * Interval at which a part of the index is swept for expired entries, and the size of that part in segments: well below a millisecond of
 * work.
 */
export const SWEEP_INDEX_MS = 1000;
export const SWEEP_INDEX_SEGMENTS = 4;
/** Entries sampled to estimate the number of live ones: within a millisecond, accurate to a percent. */
export const COUNTED_ENTRIES = 20_000;
/** Interval at which the age of the oldest prunable entry is looked up. */
export const BACKLOG_LOOK_MS = 60_000;
/**
 * Work spent on answers in one turn of the event loop, in microseconds: about thirty calls for one jti. Answers are sent at the end of a
 * turn. With three times as much, the clients of 64 calls waited while these were answered, and then the service waited for their next
 * calls: 0.85 of the throughput of a bare method, instead of 1.05.
 */
export const ANSWERS_PER_TURN_MICROS = 1600;

/** Changes kept for local copies, and entries in them (24 bytes each). A copy that missed fewer resumes without a snapshot. */
export const MAX_LOGGED_CHANGES = 20_000;
export const MAX_LOGGED_ENTRIES = 200_000;
/** Entries of one message to a copy: as many as the largest change has, and applied within a millisecond. */
export const MAX_ENTRIES_PER_MESSAGE = 2500;
/**
 * Commits from before the index was loaded that are logged too, if they have few rows, so that copies can resume after a restart of their
 * replica.
 */
export const LOGGED_BEFORE_LOAD = [1000, 100, 10] as const;
/** Interval between reads while there are copies: apart from transmission, the maximum delay of a copy. */
export const WATCH_READ_MS = 8;
/** The same interval after a failed read. */
export const FAILED_WATCH_READ_MS = 100;
/**
 * Concurrent Watch streams, each counted until its last byte has been sent. A stream on its own connection costs about 80 kB, most of it
 * for HTTP/2; on a shared connection 16 kB.
 */
export const MAX_WATCHES = 10_000;
/** Snapshots sent concurrently; others are queued. Each has about 300 kB in flight, and competes with checks for the processor. */
export const MAX_SNAPSHOTS = 8;
/** Of these, the maximum for one known caller, so that others get theirs while that caller reads slowly. */
export const MAX_SNAPSHOTS_PER_CALLER = 6;
/** A snapshot whose client has read nothing for this long gives up its turn if others are queued. */
export const SNAPSHOT_TURN_MS = 2000;
/** A stream without a change or proof for this long sends a heartbeat. */
export const WATCH_HEARTBEAT_MS = 5000;
/** Interval at which a stream is checked for reasons to end it. */
export const STREAM_TICK_MS = 5000;
/** A client that has read nothing for this long is disconnected. */
export const MAX_STREAM_STALL_MS = 60_000;
/**
 * A client that has not read the end of a stream within this time is disconnected, since unread data would be kept as long as the
 * connection.
 */
export const STREAM_END_MS = 10_000;

/** Concurrent StreamChecks streams, each counted until its last byte has been sent. */
export const MAX_CHECK_STREAMS = 10_000;
/**
 * Default of MAX_STREAMS_PER_CALLER: Watch streams, and StreamChecks streams, of one known caller. A gateway's process needs one; few
 * fleets have two thousand processes at one replica, under one name. Over a few connections, as many streams take 35 MB.
 */
export const DEFAULT_STREAMS_PER_CALLER = 2000;
/**
 * Questions of one stream in flight, each until its answer has been sent; further ones are not read. Our client sends a handful at once,
 * and 64 of 1000 tokens each make one stream hold 4 MB.
 */
export const MAX_STREAM_QUESTIONS = 64;

/** Interval at which a full queue is searched for calls that are no longer awaited. */
export const SWEEP_INTERVAL_MS = 10;

/**
 * Timeout of one statement or connection attempt. Below two seconds, so that a silently dead connection is closed and replaced within two
 * seconds of the network's recovery.
 */
export const STORE_TIMEOUT_MS = 1500;
/** Timeout of statements for which no login waits: List, Prune. */
export const SLOW_STORE_TIMEOUT_MS = 8000;
/** Attempts at one commit, and how long after the first the last may begin, before its callers get UNAVAILABLE. */
export const MAX_WRITE_ATTEMPTS = 5;
export const MAX_WRITE_MS = 2 * STORE_TIMEOUT_MS;

/** Bytes of a raw token to blacklist, or of a bearer token. A longer one is refused before it is parsed. */
export const MAX_JWT_BYTES = 16 * 1024;
/**
 * Raw tokens in one Blacklist request. Verifying one takes about 0.3 ms of the event loop, a thousand times the cost of a jti. A logout has
 * one or two tokens; a caller with more sends several requests.
 */
export const MAX_RAW_TOKENS = 100;

/** Interval at which the TLS files are read for changes. */
export const TLS_RELOAD_MS = 10_000;
/** Timeout of a TLS handshake. */
export const TLS_HANDSHAKE_MS = 10_000;
/** How long after accept the setup before a first call may take: TLS, then HTTP/2's preface and SETTINGS. */
export const READY_MS = TLS_HANDSHAKE_MS + 5000;
/**
 * How long an unauthenticated connection may be idle: longer than the intervals of load balancers' probes, and short enough that a peer
 * that hoards connections has to reopen them.
 */
export const UNUSED_CONNECTION_MS = 60_000;
/**
 * Unauthenticated connections: about 20 kB each over plain TCP, about 60 kB over TLS. Enough for the gateways of a fleet that reconnect at
 * once.
 */
export const MAX_UNAUTHENTICATED_CONNECTIONS = 1500;
/** Connections to ADMIN_ADDRESS: a few probes and scrapers. */
export const MAX_ADMIN_CONNECTIONS = 64;

/** Bytes of the headers of one call: a token of maximum size, and as much again for headers of tracing and proxies. */
export const MAX_CALL_HEADER_BYTES = 32 * 1024;
/**
 * Bytes of headers above LARGE_HEADER_BYTES that calls in flight hold together, those that began before a caller was authenticated on their
 * connection apart from the others. With headers at their bound, the calls that may be in flight would hold half a gigabyte.
 */
export const MAX_LARGE_HEADERS_BYTES = 16 * 1024 * 1024;
/** Smaller headers do not count toward that: a token of 2 KiB, and as much again. The bound on calls limits them. */
export const LARGE_HEADER_BYTES = 4 * 1024;
/** Headers of one call. One encoded byte can stand for a header of 4 KiB, which HTTP/2 decodes before it checks the size. */
export const MAX_CALL_HEADERS = 64;
/**
 * Bytes of one encoded header block that is counted field by field; further calls of a connection that sends a larger one are refused.
 * Headers within {@link MAX_CALL_HEADER_BYTES} are smaller when encoded, unless deliberately inflated.
 */
export const MAX_COUNTED_BLOCK_BYTES = 2 * MAX_CALL_HEADER_BYTES;
/** Pings, and SETTINGS frames of ours, that await acknowledgement. */
export const MAX_OUTSTANDING_ACKS = 10;
/** Settings in one SETTINGS frame. HTTP/2 defines ten. */
export const MAX_SETTINGS_PER_FRAME = 32;
/**
 * Frames that violate the protocol, are empty or open a stream above the limit, and streams rejected for lack of memory, after which a
 * connection is closed.
 */
export const MAX_INVALID_FRAMES = 1000;
export const MAX_REJECTED_STREAMS = 100;
/**
 * Streams that a peer may reset before they end: at once, and per second. A client whose deadline passes resets its stream. Node.js before
 * 22.10 has no such option, but the same fixed numbers.
 */
export const STREAM_RESET_BURST = 1000;
export const STREAM_RESETS_PER_SECOND = 33;

/**
 * Duration of the calls that begin in one turn of the event loop: a read can bring a thousand. Unauthenticated connections' calls then
 * rest for as long, and others go on in the next turn.
 */
export const CALL_SLICE_MS = 5;
/**
 * Unauthenticated connections read in one turn: everything that they send in one turn of the event loop delays other connections. After a
 * turn longer than LONG_TURN_MS milliseconds only one is read, and after a second without such a turn one more in each.
 */
export const MAX_READERS = 16;
export const LONG_TURN_MS = 10;
export const SLOW_TURN_RECOVERY_MS = 1000;
/** Turns of a new connection that do not wait for all the others: enough for its settings and a first call. */
export const FIRST_TURNS = 8;
/** Pause after a turn in which none of them had sent anything. */
export const IDLE_TURN_MS = 5;
/** The same pause while all of them are read: at 5 ms, one idle connection of a load balancer's costs 4 % of a core. */
export const QUIET_TURN_MS = 50;
/**
 * Calls in flight on one unauthenticated connection; once a caller is authenticated, SETTINGS allow {@link MAX_CONCURRENT_STREAMS}. Of the
 * calls sent in one turn, at most this many begin, and HTTP/2 refuses the others cheaply.
 */
export const MAX_UNAUTHENTICATED_STREAMS = 32;
/** Calls that may begin on such a connection in one turn. If more do, the peer resets them as it sends them. */
export const MAX_TURN_CALLS = 64;
/**
 * Bytes that such a connection may send in one turn without a call. More than a window of DATA and a read of Node.js, 64 KiB each, consists
 * of frames that are no calls, or of calls whose headers exceed their bounds.
 */
export const MAX_TURN_BYTES = 128 * 1024;
/** SETTINGS frames on one connection, each of which may change a thousand streams. Clients that adapt their windows send a dozen. */
export const MAX_SETTINGS_FRAMES = 200;

/** Concurrent health Watch streams, in total and on one connection. */
export const MAX_HEALTH_WATCHES = 1000;
export const MAX_CONNECTION_HEALTH_WATCHES = 25;
/** Bytes of a request that needs no credential, to health or reflection: names of services have about fifty. */
export const MAX_OPEN_REQUEST_BYTES = 512;
/** Chunks in which such a request may arrive, each with {@link CHUNK_OVERHEAD_BYTES}: clients send one, or a prefix and a message. */
export const MAX_OPEN_REQUEST_CHUNKS = 8;
/**
 * Health and reflection calls in flight on the connections of known callers, in total; each probe has one. 75 MB, and the Watch streams.
 */
export const MAX_OPEN_CALLS = 3000 + MAX_HEALTH_WATCHES;
/**
 * Calls in flight on unauthenticated connections, in total. Each {@link LARGE_HEADER_BYTES} of headers count as a further call, so that
 * headers hold some 12 MB at most.
 */
export const MAX_UNAUTHENTICATED_CALLS = 3000;

/**
 * Limits on ADMIN_ADDRESS: time for a request to arrive, bytes of its headers, how long a connection may be idle, and how long it may leave
 * an answer unread.
 */
export const ADMIN_REQUEST_MS = 5000;
export const MAX_ADMIN_HEADER_BYTES = 8 * 1024;
export const ADMIN_KEEP_ALIVE_MS = 5000;
export const ADMIN_SOCKET_MS = 10_000;
/** Requests on one such connection. */
export const MAX_ADMIN_REQUESTS = 1000;

/** The pause after rendering the metrics, as a multiple of the rendering's duration: at most a fifth of the processor is used. */
export const RENDERING_REST = 4;

/** Unanswered requests on one connection to AUTHZ_ADDRESS. Proxies wait for an answer before they send the next request. */
export const MAX_AUTHZ_UNANSWERED = 16;
/** Bytes of the headers of a request to AUTHZ_ADDRESS: a token of maximum size, and as much again for headers that a proxy adds. */
export const MAX_AUTHZ_HEADER_BYTES = 2 * MAX_JWT_BYTES;
/** Bytes of such a request's body, which is read and ignored: more than a form or a small upload, if a proxy forwards it. */
export const MAX_AUTHZ_BODY_BYTES = 1024 * 1024;
/** Time for such a request to arrive. */
export const AUTHZ_REQUEST_MS = 5000;
/**
 * How long a connection may be idle: longer than proxies keep theirs (60 to 90 seconds), so that the proxy closes it and does not send a
 * request on a connection that is being closed.
 */
export const AUTHZ_KEEP_ALIVE_MS = 120_000;
/** Connections of proxies to AUTHZ_ADDRESS: 128 MiB with headers at their bound. */
export const MAX_AUTHZ_CONNECTIONS = 4096;

/** Tokens in one line of the audit log, with their reasons at most 40 kB. A request with more has several lines. */
export const AUDITED_TOKENS_PER_LINE = 50;
/** How soon a caller's quota reflects entries that have expired or were created at another replica. */
export const QUOTA_RECOUNT_MS = 60_000;
/** Callers whose quotas are tracked at once. */
export const MAX_QUOTA_CALLERS = 10_000;

/** Interval of health checks of the database, and the same while it is down. */
export const DATABASE_PROBE_MS = 1000;
export const DATABASE_PROBE_WHILE_DOWN_MS = 250;

/** In the client: the interval at which a copy is proven current if no call requires fresher answers, and the minimum interval. */
export const PROOF_INTERVAL_MS = 1000;
export const SHORTEST_PROOF_INTERVAL_MS = 20;
/** Timeout of a copy's proof. The service times out its own read earlier and reports that. */
export const PROOF_TIMEOUT_MS = 2000;
/** A stream that has been silent for this long is closed, although its connection may be alive: proofs are requested every second. */
export const LAST_HEARD_MS = 3000;
/** The same while a snapshot is awaited: three heartbeats. */
export const LAST_HEARD_WHILE_LOADING_MS = 3 * WATCH_HEARTBEAT_MS;
/** Maximum delay before a disconnected copy reconnects: at first, and after many failures. */
export const WATCH_RETRY_MS = 100;
export const MAX_WATCH_RETRY_MS = 5000;
/** The same after a failure that only an operator can correct, such as a rejected credential. */
export const MAX_LASTING_RETRY_MS = 60_000;
/** A copy not proven for longer starts over: the service can detect a restored database for a day ({@link COMMIT_RETENTION_MS}). */
export const MAX_RESUME_MS = COMMIT_RETENTION_MS / 2;
/**
 * Keys of the entries in a client's copy: the present one, and those of blacklists that the service no longer serves. A database is
 * replaced occasionally; with a service that names new keys continually, the copy would keep every entry and search under every key.
 */
export const MAX_COPY_KEYS = 8;
/** Characters of a revision. Ours have at most 33, and thousands are cached. */
export const MAX_REVISION_LENGTH = 256;
/** The longest retry delay that a client accepts from the service, since a longer one would switch the client off. */
export const MAX_RETRY_AFTER_MS = 10 * 60_000;
/** Default maximum of entries in a client's copy: 0.8 GB. */
export const MAX_COPY_ENTRIES = 20_000_000;
/** Timeout for obtaining the token with which a stream begins. */
export const WATCH_TOKEN_MS = 5000;

/**
 * The client library's timeout of a check. Each request of a gateway waits for it, and the service times out its own read of the database
 * after {@link STORE_TIMEOUT_MS}, so a later answer is unlikely.
 */
export const CHECK_TIMEOUT_MS = 2000;
/** Checks queued in one client before further ones are refused: about 20 MB, and far more than a process can serve in time. */
export const MAX_PENDING_CHECKS = 50_000;
/**
 * Calls in flight for checks of one freshness, and how long the client waits for one before it sends the next. Checks that arrive meanwhile
 * share the next call: one call for 500 checks costs a fourth of the processor time of eight calls. A slow call delays others by only these
 * few milliseconds.
 */
export const MAX_CHECK_CALLS = 4;
export const NEXT_CALL_AFTER_MS = 5;
/**
 * How long one stream takes a client's questions, reduced by up to a quarter at random. The next stream may go to another replica, and
 * carries the caller's current token.
 */
export const CHECK_STREAM_MS = 10_000;
/** Interval at which a stream is checked; one that had no question since the last check is closed. */
export const CHECK_STREAM_LOOK_MS = 1000;
/**
 * Metadata of one question on a stream: the number of names, and the bytes of names and values. A trace context has two or three names;
 * `tracestate` has 512 bytes, and W3C's `baggage` at most 8 KiB.
 */
export const MAX_QUESTION_METADATA = 16;
export const MAX_QUESTION_METADATA_BYTES = 8 * 1024;
/** A stream that has not answered a question for this long gets no further ones: its replica may be gone. */
export const SLOW_STREAM_MS = 50;
/**
 * After a stream that answered nothing, checks are sent as calls for this long, doubling after each further such stream up to the maximum.
 */
export const REST_FROM_STREAMS_MS = 1000;
export const MAX_REST_FROM_STREAMS_MS = 60_000;
/** A first attempt times out after half of its time if that is at least this much, so that another replica may answer in the other half. */
export const MIN_HALF_TIME_MS = 250;
/** Freshness requirements for which checks may be in flight at the same time: there are many revisions, and each needs calls of its own. */
export const MAX_FRESHNESSES = 256;
/**
 * Positives that a client caches, about 2 MB, and for how long if the token's own expiry is unknown. Far more than are presented again
 * within a minute; with ten times as many, every look-up would miss the processor's cache.
 */
export const MAX_REMEMBERED_POSITIVES = 10_000;
export const REMEMBER_POSITIVE_MS = 60_000;
/** Attempts at one call, and the delay before the second; each further delay is up to twice as long, up to the maximum. */
export const MAX_CALL_ATTEMPTS = 10;
export const FIRST_REPEAT_MS = 25;
export const MAX_REPEAT_MS = 500;
/** Minimum and maximum delay before a client reconnects: a restarted service is found well within a check's deadline. */
export const RECONNECT_MS = 100;
export const MAX_RECONNECT_MS = 2000;
/** Interval of keepalive pings on an idle connection, and the timeout after which it is closed. */
export const KEEPALIVE_MS = 5000;
export const KEEPALIVE_TIMEOUT_MS = 3000;
/** Interval at which a client logs that it cannot answer checks, if no outage explains it. */
export const CLIENT_LOG_INTERVAL_MS = 10_000;
/**
 * A client logs an outage if the service is unavailable for longer than this, or leaves a check unanswered. Neither happens in a rolling
 * restart, since a copy finds another replica within a second. The outage is over when the service has been available for OUTAGE_OVER_MS.
 */
export const OUTAGE_GRACE_MS = 5000;
export const OUTAGE_OVER_MS = 10_000;
/** Interval at which a client itself probes whether the service answers checks, while a call waits for that. */
export const PROBE_INTERVAL_MS = 1000;
/**
 * In a rolling restart a call may reach one or two replicas that are shutting down. Only failure of this attempt shows that there is no
 * other replica.
 */
export const DECISIVE_ATTEMPT = 3;
