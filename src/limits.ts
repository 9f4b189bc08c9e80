/** Every bound of the service in one place. Those that callers meet are part of the contract (see `proto/`). */

/** Bytes of UTF-8 in a jti. The column is as wide; a wider key would not fit every engine's index. */
export const MAX_JTI_BYTES = 255;
/** Bytes of UTF-8 in a reason. */
export const MAX_REASON_BYTES = 512;
/** Bytes of UTF-8 in `revoked_by`. */
export const MAX_REVOKED_BY_BYTES = 255;
/** Tokens in one Blacklist, jtis in one IsBlacklisted or List filter. */
export const MAX_BATCH = 1000;

/** Bytes of one request. 1000 tokens with every field at its limit are below 1 MiB; the rest is room for raw JWTs. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Bytes of one request of the methods that take no raw tokens, and of a question on a stream: 1000 jtis of 255 bytes, a page token, and room to spare. */
export const MAX_SMALL_REQUEST_BYTES = 300 * 1024;
/** Bytes of one request that names no tokens at all, and of a message of `Watch`. */
export const MAX_TINY_REQUEST_BYTES = 8 * 1024;
/** Bytes of one question of Envoy's: the headers of a request (60 KiB at most unless Envoy is told otherwise), once or twice, and its metadata. */
export const MAX_ENVOY_REQUEST_BYTES = 256 * 1024;
/** How long a request may take to arrive, from its headers on. */
export const MAX_RECEIVE_MS = 10_000;
/** How long a client may leave its side of a stream open after its call was answered. What it is still sending has to cross the answer. */
export const CLIENT_END_MS = 1000;
/** Bytes of requests that have begun to arrive and are not complete: of the whole process, and of one connection (four of the largest). */
export const MAX_UNFINISHED_BYTES = 64 * 1024 * 1024;
export const MAX_UNFINISHED_CONNECTION_BYTES = 18 * 1024 * 1024;
/** What a chunk of a message takes beside its bytes: a message may come in chunks of one byte. */
export const CHUNK_OVERHEAD_BYTES = 256;
/** Streams open at once on one connection; grpc-js has no limit of its own. */
export const MAX_CONCURRENT_STREAMS = 1000;
/** Calls being answered at once by the whole process: past it RESOURCE_EXHAUSTED, so that memory stays flat. */
export const MAX_CALLS = 20_000;
/**
 * Bytes of requests above {@link LARGE_REQUEST_BYTES} that are being answered, of the whole process. Decoded they take somewhat more, for as long as a
 * slow database takes.
 */
export const MAX_UNANSWERED_BYTES = 64 * 1024 * 1024;
/** Requests below this are not counted there: the bound on calls holds. */
export const LARGE_REQUEST_BYTES = 16 * 1024;
/** Bytes of answers that one connection's client may leave unread before its calls are refused: four of the largest. */
export const MAX_UNSENT_BYTES = 4 * 1024 * 1024;
/** Answers below this are not counted, nor is so much of a stream of them: as many as a connection has streams are small change together. */
export const SMALL_ANSWER_BYTES = 16 * 1024;
/** A connection is asked to reconnect after this long, or replicas started later would never get a share. */
export const MAX_CONNECTION_AGE_MS = 10 * 60_000;
/** What a call on such a connection may still take. */
export const MAX_CONNECTION_AGE_GRACE_MS = 60_000;
/**
 * The longest that anything is waited for: 24 days, in whole seconds. Timers of Node.js and deadlines of grpc-js count milliseconds in 32 bits, and
 * what is longer is over at once.
 */
export const MAX_TIMER_MS = 24 * 24 * 3_600_000;
/** The deadline of a call that brings none: nothing may wait for ever. */
export const DEFAULT_DEADLINE_MS = 10_000;

export const DEFAULT_PAGE_SIZE = 100;
export const MAX_PAGE_SIZE = 1000;
/** Bytes of a page token. Ours hold one jti, at worst 2.2 KiB when all of it is escaped: anything longer was not written here. */
export const MAX_PAGE_TOKEN_BYTES = 4096;

export const DEFAULT_PRUNE_COUNT = 10_000;
export const MAX_PRUNE_COUNT = 100_000;
/** Rows of one DELETE. Larger ones prune faster by a fifth, and checks that come meanwhile wait for longer. */
export const PRUNE_CHUNK = 150;
/** While checks are asked, a chunk is followed by a rest of so many times its own length. */
export const PRUNE_REST = 2;
/** A Prune that has worked for so long leaves the rest to the next one: below the deadline of a call that brings none. */
export const PRUNE_CALL_MS = 5000;
/** How long the stamp of a commit is kept: the age up to which a revision can be told from its double. */
export const COMMIT_RETENTION_MS = 24 * 3_600_000;
/** Clocks further apart than this cannot be trusted to forget anything. */
export const MAX_CLOCK_SKEW_MS = 30_000;

/** Rows and bytes of one commit: it stays far below `max_allowed_packet` (16 MiB) and holds its lock briefly. */
export const MAX_COMMIT_ROWS = 2000;
export const MAX_COMMIT_BYTES = 1024 * 1024;
/** Tokens waiting to be written before Blacklist is refused as OVERLOADED: ten full commits' worth. */
export const MAX_QUEUED_TOKENS = 20_000;

/** Jtis of one coalesced read, which takes some five milliseconds then; the calls that came last go with the next one. */
export const MAX_READ_JTIS = 1000;
/** Bytes of them: as hexadecimal literals they stay below SQLite's bound on a statement's text, 1,000,000 bytes. */
export const MAX_READ_BYTES = 300 * 1024;
/** Jtis waiting to be looked up before IsBlacklisted is refused as OVERLOADED. */
export const MAX_QUEUED_JTIS = 500_000;

/** Rows of one read of what has changed: more than one commit holds, and read and taken over within a few milliseconds. */
export const TAIL_PAGE = 2500;
/** Rows of one page while the index is loaded: a millisecond of the event loop. */
export const SCAN_PAGE = 2000;

/** How often connections for reads are made anew while the server at their end takes no writes. */
export const RENEW_READERS_MS = 1000;
/** How soon the index is read again after that failed, and after it was found too small: by then much may have expired. */
export const LOAD_RETRY_MS = 250;
export const INDEX_RETRY_MS = 10 * 60_000;
/** The pause after a read that failed, so that a database that is away is not tried thousands of times a second. */
export const FAILED_READ_PAUSE_MS = 20;
/** Turns of the event loop that a read is put off while more and more ask for it: a burst arrives over several of them. */
export const READ_TURNS = 4;
/** Stamps kept of revisions that were read: a caller's `at_least_revision` is nearly always among the latest. */
export const OBSERVED_REVISIONS = 10_000;
/**
 * Commits acknowledged here that the next read of the database has to find one by one. Where there are more, since nobody reads, they
 * are looked up first: one small SELECT more for so many commits.
 */
export const MAX_PENDING_COMMITS = 60;
/** How often a part of the index is searched for what has expired, and how much of it: well below a millisecond. */
export const SWEEP_INDEX_MS = 1000;
export const SWEEP_INDEX_SEGMENTS = 4;
/** Entries looked at when somebody asks how many are live: within a millisecond, and right to a percent. */
export const COUNTED_ENTRIES = 20_000;
/** How often it is looked up since when the oldest entry could be pruned. */
export const BACKLOG_LOOK_MS = 60_000;
/**
 * Work of answering that is done in one turn of the event loop, in microseconds: some thirty calls about one jti. Answers leave at the
 * end of a turn. With three times as much the clients of 64 calls stood still while these were answered, and the service while
 * they asked again: 0.85 of the throughput that a bare method has, instead of 1.05.
 */
export const ANSWERS_A_TURN_MICROS = 1600;

/** Changes kept for those who hold copies, and entries in them (24 bytes each): who was away for less than these goes on from there. */
export const MAX_LOGGED_CHANGES = 20_000;
export const MAX_LOGGED_ENTRIES = 200_000;
/** Entries of one message to a copy: as many as the largest change has, and taken over within a millisecond. */
export const MAX_ENTRIES_A_MESSAGE = 2500;
/** Commits before the index was loaded that are logged too, if they are few rows: copies outlive a replica that is restarted. */
export const LOGGED_BEFORE_LOAD = [1000, 100, 10] as const;
/** How soon after a read the next one goes out while anybody keeps a copy: how late a copy is, at most, beside the way there. */
export const WATCH_READ_MS = 8;
/** The same after a read that failed. */
export const FAILED_WATCH_READ_MS = 100;
/**
 * Streams of Watch at once, until the last byte of each has gone. One on a connection of its own costs some 80 kB, most of it HTTP/2's; on a shared one
 * 16 kB.
 */
export const MAX_WATCHES = 10_000;
/** Snapshots sent at once. The others wait: each has some 300 kB under way, and takes the processor from the checks. */
export const MAX_SNAPSHOTS = 8;
/** Of these one known caller's at most, so that others get theirs while it reads slowly. */
export const MAX_SNAPSHOTS_A_CALLER = 6;
/** Who has a turn and takes nothing for so long gives it up, if others wait. */
export const SNAPSHOT_TURN_MS = 2000;
/** After so long without a change or a proof a stream gives a sign of life. */
export const WATCH_HEARTBEAT_MS = 5000;
/** How often a stream is looked at that may have to be ended. */
export const STREAM_TICK_MS = 5000;
/** Who has left everything unread for so long is sent away. */
export const MAX_STREAM_STALL_MS = 60_000;
/** Who has not taken the end of a stream by then is cut off: what lies before it would be kept for as long as the connection. */
export const STREAM_END_MS = 10_000;

/** Streams of StreamChecks at once, until the last byte of each has gone. */
export const MAX_CHECK_STREAMS = 10_000;
/**
 * Streams of Watch, and of StreamChecks, that one known caller may have unless MAX_STREAMS_PER_CALLER says otherwise. A gateway's process needs one; few
 * fleets have two thousand of them at one replica, under one name. Over a few connections so many take 35 MB.
 */
export const DEFAULT_STREAMS_PER_CALLER = 2000;
/**
 * Questions of one stream under way, until their answers have gone; more are not read. A client of ours asks a handful at once, and
 * with 64 of 1000 tokens one stream holds 4 MB.
 */
export const MAX_STREAM_QUESTIONS = 64;

/** How often a full queue is searched for calls that nobody waits for any more. */
export const SWEEP_INTERVAL_MS = 10;

/**
 * How long one statement, or one attempt to connect, may take. Below two seconds, so that a connection that went
 * dead silently is given up and replaced within two seconds of the network's return.
 */
export const STORE_TIMEOUT_MS = 1500;
/** Statements that may rightly take longer, since nobody's login waits for them: List, Prune. */
export const SLOW_STORE_TIMEOUT_MS = 8000;
/** Attempts at one commit, and how long after the first the last may begin, before its callers are told UNAVAILABLE. */
export const MAX_WRITE_ATTEMPTS = 5;
export const MAX_WRITE_MS = 2 * STORE_TIMEOUT_MS;

/** Bytes of a token that is shown to be blacklisted, or to say who calls. It is refused before anything in it is read. */
export const MAX_JWT_BYTES = 16 * 1024;
/**
 * Raw tokens in one Blacklist. Verifying one takes some 0.3 ms of the event loop, a thousand times what a jti takes. A logout has one token or two;
 * whoever has more sends several requests.
 */
export const MAX_RAW_TOKENS = 100;
/** Signatures of raw tokens verified at once; libuv has four threads, and files and look-ups of names need some too. */
export const MAX_VERIFICATIONS = 2;
/** Raw tokens that wait to be verified, in all requests: what takes some four seconds. */
export const MAX_QUEUED_RAW_TOKENS = 10_000;
/** Callers' tokens that are remembered, and how long one may be: 40 MiB at worst. */
export const MAX_REMEMBERED_BEARERS = 10_000;
export const MAX_REMEMBERED_BEARER_LENGTH = 4096;
/** How often a key set is read anew: new keys are known within a minute, and withdrawn ones forgotten. */
export const KEYS_RELOAD_MS = 45_000;
/** How often it is tried while there is none yet. */
export const KEYS_RETRY_MS = 1000;
/**
 * How often a token that fits no key of the set may be a reason to read it at once. So long, at most, a token of a new key is not
 * judged while others forge tokens; and so little a provider is asked, whatever they forge.
 */
export const UNKNOWN_KEY_RELOAD_MS = 10_000;
/** What reading a key set may take, in time and in bytes. */
export const KEYS_TIMEOUT_MS = 5000;
export const MAX_KEYS_BYTES = 1024 * 1024;
/** Keys of one set: a token that names none is tried with each. Providers publish fewer than ten. */
export const MAX_KEYS = 1000;
/** Bits of an RSA key: RFC 7518, sections 3.3 and 3.5, and jose refuse shorter ones. */
export const MIN_RSA_BITS = 2048;

/** How often the files of TLS are looked at for new certificates. */
export const TLS_RELOAD_MS = 10_000;
/** How long before it expires a certificate is told of: two weeks in which somebody is at work. The alert has the same. */
export const CERTIFICATE_NOTICE_MS = 14 * 86_400_000;
/** How often certificates are looked at for that, and how often it is said again. */
export const CERTIFICATE_LOOK_MS = 60_000;
export const CERTIFICATE_REMINDER_MS = 86_400_000;
/** The last part of the time between a revocation list and the next in which it is told of: whoever issues them is late by then. The alert has the same. */
export const LIST_NOTICE_SHARE = 0.1;
/** How long a client may take to set up TLS. */
export const TLS_HANDSHAKE_MS = 10_000;
/** How long after accept a peer may take for everything before a first call: TLS, and then HTTP/2's preface and its SETTINGS. */
export const READY_MS = TLS_HANDSHAKE_MS + 5000;
/**
 * How long a connection may rest on which no caller is known: longer than the intervals at which load balancers probe, and so short that what
 * holds on to connections has to come again.
 */
export const UNUSED_CONNECTION_MS = 60_000;
/** Connections to LISTEN_ADDRESS unless MAX_CONNECTIONS says otherwise, if there are descriptors: one for each stream of Watch, and half as many beside. */
export const MAX_GRPC_CONNECTIONS = 15_000;
/** Connections on which no caller is known: over plain TCP some 20 kB each, over TLS some 60. The gateways of a fleet that reconnect at once fit. */
export const MAX_UNAUTHENTICATED_CONNECTIONS = 1500;
/** Connections to ADMIN_ADDRESS: a few probes and scrapers. */
export const MAX_ADMIN_CONNECTIONS = 64;
/** Descriptors kept for the process itself: some 25 at rest, connections to the database and to issuers of keys, and files that are read anew. */
export const RESERVED_DESCRIPTORS = 128;
/** How often a listener says in the log that it closes connections. The metric counts all. */
export const CONNECTION_LOG_INTERVAL_MS = 10_000;

/** Bytes of the headers of one call: a token at its bound, and as much again for what tracing and proxies add. */
export const MAX_CALL_HEADER_BYTES = 32 * 1024;
/** Headers of one call: each may name 4 KiB in a byte, which HTTP/2 looks through before it counts them. */
export const MAX_CALL_HEADERS = 64;
/**
 * Bytes of one encoded header block that are counted field by field; a connection that sends more is refused its further calls. Encoded, what fits
 * {@link MAX_CALL_HEADER_BYTES} is smaller, unless it is made to be large.
 */
export const MAX_COUNTED_BLOCK_BYTES = 2 * MAX_CALL_HEADER_BYTES;
/** Pings, and SETTINGS of ours, that wait for their acknowledgement. */
export const MAX_OUTSTANDING_ACKS = 10;
/** Settings in one SETTINGS frame. HTTP/2 knows ten. */
export const MAX_SETTINGS_A_FRAME = 32;
/** Frames that break the protocol, are empty or begin a stream too many, and streams refused for want of memory, after which a connection is closed. */
export const MAX_INVALID_FRAMES = 1000;
export const MAX_REJECTED_STREAMS = 100;
/**
 * Streams that a peer may reset before their end: at once, and each second. A deadline that passes at a client is such a reset. Node.js
 * before 22.10 cannot set it, and has the same numbers.
 */
export const STREAM_RESET_BURST = 1000;
export const STREAM_RESETS_A_SECOND = 33;

/**
 * Connections on which no caller is known that are read at once: what all of them send in one turn of the event loop delays everybody else. After a
 * turn that has taken longer than so many milliseconds there are fewer.
 */
export const MAX_READERS = 16;
export const LONG_TURN_MS = 10;
/** The pause after a turn in which none of them had sent anything. */
export const IDLE_TURN_MS = 5;
/** The same pause while all of them are read: at 5 ms, one idle connection of a load balancer's costs 4 % of a core. */
export const QUIET_TURN_MS = 50;
/**
 * Calls under way on one such connection; SETTINGS allow {@link MAX_CONCURRENT_STREAMS} as soon as a caller is known. Of what it sends in one turn so
 * many are begun, and HTTP/2 refuses the others at little cost. More than it may have streams of health's Watch.
 */
export const MAX_UNAUTHENTICATED_STREAMS = 128;
/** Calls that may begin on it in one turn: where more do, it resets them as they come. */
export const MAX_TURN_CALLS = 2 * MAX_UNAUTHENTICATED_STREAMS;
/**
 * Bytes that it may send in one turn without a call among them. More than a window of DATA and a reading of Node.js, 64 KiB each, are frames that
 * are no calls, or calls whose headers are past their bounds.
 */
export const MAX_TURN_BYTES = 128 * 1024;
/** Frames of SETTINGS on one connection, each of which may change a thousand streams. Clients that adapt their windows send a dozen. */
export const MAX_SETTINGS_FRAMES = 200;

/** Streams of health's Watch at once, in total and on one connection. */
export const MAX_HEALTH_WATCHES = 1000;
export const MAX_CONNECTION_HEALTH_WATCHES = 100;
/** Bytes of a request that needs no credential, about health or of reflection: names of services have some fifty. */
export const MAX_OPEN_REQUEST_BYTES = 512;
/** Chunks that such a request may come in, each with {@link CHUNK_OVERHEAD_BYTES}: clients send one, or a head and a message. */
export const MAX_OPEN_REQUEST_CHUNKS = 8;
/** Calls about health and of reflection under way on the connections of known callers, all together: each probe has one. 75 MB, and the streams of Watch. */
export const MAX_OPEN_CALLS = 3000 + MAX_HEALTH_WATCHES;
/** Calls under way on connections on which no caller is known, all together: 75 MB, each with headers near their bound. */
export const MAX_UNAUTHENTICATED_CALLS = 3000;

/** What a request to ADMIN_ADDRESS may take to arrive, its headers' bytes, and how long such a connection may be idle or leave its answer unread. */
export const ADMIN_REQUEST_MS = 5000;
export const MAX_ADMIN_HEADER_BYTES = 8 * 1024;
export const ADMIN_KEEP_ALIVE_MS = 5000;
export const ADMIN_SOCKET_MS = 10_000;
/** Requests on one such connection. */
export const MAX_ADMIN_REQUESTS = 1000;

/** After the metrics have been rendered nobody has them rendered for so many times as long as that took: a fifth of the processor at most. */
export const RENDERING_REST = 4;

/** Questions on one connection to AUTHZ_ADDRESS that have no answer yet. Proxies wait for one before they ask the next. */
export const MAX_AUTHZ_AHEAD = 16;
/** Bytes of the headers of a request to AUTHZ_ADDRESS: a token at its bound, and as much again for whatever a proxy adds. */
export const MAX_AUTHZ_HEADER_BYTES = 2 * MAX_JWT_BYTES;
/** Bytes of such a request's body, which is read past: more than a form or a small upload, should a proxy send it along. */
export const MAX_AUTHZ_BODY_BYTES = 1024 * 1024;
/** How long an answer waits for a body that was announced: some proxies announce one and do not send it. */
export const AUTHZ_BODY_MS = 100;
/** What such a request may take to arrive. */
export const AUTHZ_REQUEST_MS = 5000;
/**
 * How long a connection may stay idle: longer than proxies keep theirs (60 to 90 seconds), so that it is they who close it, and
 * none sends a question into a connection that is being closed.
 */
export const AUTHZ_KEEP_ALIVE_MS = 120_000;
/** Connections of proxies to AUTHZ_ADDRESS: with headers at their bound 128 MiB. */
export const MAX_AUTHZ_CONNECTIONS = 4096;
/** When a client may try again whose token could not be judged; the header counts whole seconds. */
export const AUTHZ_RETRY_AFTER_SECONDS = 1;

/**
 * Characters of log lines that wait while they cannot be written, half of them at most in lines that are neither of the audit log nor
 * warnings: some five thousand audit lines, and memory stays flat.
 */
export const MAX_WAITING_LOG = 2 * 1024 * 1024;
export const MAX_WAITING_ORDINARY_LOG = MAX_WAITING_LOG / 2;
/** Characters of one write to the log: what a pipe holds. */
export const LOG_CHUNK_LENGTH = 64 * 1024;
/** How soon a write to the log that failed is tried again: at first, since a pipe's reader needs no longer, and after many failures. */
export const FIRST_LOG_RETRY_MS = 2;
export const MAX_LOG_RETRY_MS = 250;
/** How long the end of the process waits for the last lines of the log. */
export const LOG_FLUSH_MS = 1000;

/**
 * Lines about failed calls and refused connections, of each kind (method, code and reason): so many at once, and one for each window from then on. Enough
 * to see what happens and who does it, and whoever knocks thousands of times a second cannot fill the disk or push other lines out.
 */
export const LOGGED_REFUSALS = 10;
export const LOGGED_REFUSALS_WINDOW_MS = 1000;
/** When lines that were left out are told of where no further line of their kind does it. */
export const LOGGED_REFUSALS_TELL_MS = 10_000;

/** Tokens that one line of the audit log names, with their reasons at most 40 kB: a request with more has several lines. */
export const AUDITED_TOKENS_A_LINE = 50;
/** How long it may take until entries that have expired, or were made at another replica, change what a caller's quota leaves. */
export const QUOTA_RECOUNT_MS = 60_000;
/**
 * The part of INDEX_MAX_ENTRIES that one known caller may fill unless QUOTA_ROWS says otherwise: 15 million entries of 20, which are 960 MB at 64 bytes
 * each at worst, and leave the others a quarter. Far more than a fleet revokes that has no larger index.
 */
export const DEFAULT_QUOTA_PART = 0.75;
/** Callers whose quotas are kept track of at once. */
export const MAX_QUOTA_CALLERS = 10_000;

/** How often the database is asked whether it is still there, and how often while it is not. */
export const HEARTBEAT_MS = 1000;
export const HEARTBEAT_WHILE_DOWN_MS = 250;

/** In the client: how often a copy is proven current, unless somebody asks for fresher answers, and how often at most. */
export const PROOF_INTERVAL_MS = 1000;
export const SHORTEST_PROOF_INTERVAL_MS = 20;
/** How long the proof of a copy is waited for. The service gives up its own read sooner, and says so. */
export const PROOF_TIMEOUT_MS = 2000;
/** A stream that has said nothing for so long is given up, although the connection may not be: proofs are asked for every second. */
export const LAST_HEARD_MS = 3000;
/** The same while a snapshot is awaited: three heartbeats. */
export const LAST_HEARD_WHILE_LOADING_MS = 3 * WATCH_HEARTBEAT_MS;
/** How soon, at most, a copy that was cut off tries again: at first, and after many failures. */
export const WATCH_RETRY_MS = 100;
export const MAX_WATCH_RETRY_MS = 5000;
/** The same after what only an operator mends, such as a credential that is not accepted. */
export const MAX_LASTING_RETRY_MS = 60_000;
/** A copy that was not proven for longer starts over: the service can tell a restored database for a day ({@link COMMIT_RETENTION_MS}). */
export const MAX_RESUME_MS = COMMIT_RETENTION_MS / 2;
/**
 * Keys under which a client's copy holds entries at once: the present one, and those of blacklists that the service no longer serves. A database is
 * replaced now and then; a service that names a new key again and again would have the copy keep everything, and look everywhere.
 */
export const MAX_COPY_KEYS = 8;
/** Characters of a revision: ours have 33 at most, and thousands are remembered. */
export const MAX_REVISION_LENGTH = 256;
/** The longest pause that a service may ask a client for: whoever asks for more would switch it off. */
export const MAX_RETRY_AFTER_MS = 10 * 60_000;
/** Entries in a client's copy, unless its owner says otherwise: 0.8 GB. */
export const MAX_COPY_ENTRIES = 20_000_000;
/** How long the token that a stream begins with may take. */
export const WATCH_TOKEN_MS = 5000;

/**
 * How long the client library waits for a check. It is on the way of every request of a gateway, and the service gives up
 * its own read of the database after {@link STORE_TIMEOUT_MS}: what has not been answered by then will hardly be.
 */
export const CHECK_TIMEOUT_MS = 2000;
/** Checks that wait in one client before more are refused: some 20 MB, and far more than a process can serve in time. */
export const MAX_PENDING_CHECKS = 50_000;
/**
 * Calls for checks of one freshness under way at once, and how long one is waited for before the next goes. What is asked
 * meanwhile shares that: one call for 500 checks costs a fourth of the processor that eight do. A call that is slow holds
 * the others up for these few milliseconds only.
 */
export const MAX_CHECK_CALLS = 4;
export const NEXT_CALL_AFTER_MS = 5;
/**
 * One stream takes a client's questions for so long, a little less at random: then comes the next one, which may go to another replica,
 * and brings the caller's present token.
 */
export const CHECK_STREAM_MS = 10_000;
/** How often a stream is looked at: one that has been asked nothing in between is given up. */
export const CHECK_STREAM_LOOK_MS = 1000;
/** A stream that has not answered a question for so long gets no other: its replica may be gone. */
export const SLOW_STREAM_MS = 50;
/** After a stream that has answered nothing checks are calls for so long, twice as long after each further one up to the most. */
export const REST_FROM_STREAMS_MS = 1000;
export const MAX_REST_FROM_STREAMS_MS = 60_000;
/** A first attempt gives up at half of its time if that is at least so much: another replica may answer in the other half. */
export const MIN_HALF_TIME_MS = 250;
/** Freshnesses that checks may be asked with at the same time: revisions are many, and each needs calls of its own. */
export const MAX_FRESHNESSES = 256;
/**
 * Positives that a client remembers, some 2 MB, and for how long where the token's own expiry is not known. Far more than are shown again
 * within a minute; among ten times as many every jti is looked for outside of the processor's cache.
 */
export const MAX_REMEMBERED_POSITIVES = 10_000;
export const REMEMBER_POSITIVE_MS = 60_000;
/** Attempts at one call, and the pause before the second; each further one is up to twice as long. */
export const MAX_CALL_ATTEMPTS = 10;
export const FIRST_REPEAT_MS = 25;
export const MAX_REPEAT_MS = 500;
/** How soon and how rarely a client tries to reconnect: a service that was restarted is found well within a check's deadline. */
export const RECONNECT_MS = 100;
export const MAX_RECONNECT_MS = 2000;
/** A connection that carries nothing is asked for a sign of life so often, and given up without one after so long. */
export const KEEPALIVE_MS = 5000;
export const KEEPALIVE_TIMEOUT_MS = 3000;
/** How often a client that cannot answer checks says so in its log, where no outage explains it. */
export const CLIENT_LOG_INTERVAL_MS = 10_000;
/**
 * A client's log tells of a service that is away for longer than this, or that leaves a check unanswered. In a rolling restart neither
 * happens: a copy finds another replica within a second. It is over when the service has been there for so long.
 */
export const OUTAGE_GRACE_MS = 5000;
export const OUTAGE_OVER_MS = 10_000;
/** How often a client asks for itself whether the service answers checks, while somebody waits for that. */
export const PROBE_INTERVAL_MS = 1000;
/** In a rolling restart a call may meet one or two replicas that are going: only this attempt says that there is no other. */
export const DECISIVE_ATTEMPT = 3;

/** Calls that the span of a shared read or commit names: a thousand may share one, and nobody looks through so many. */
export const MAX_SPAN_LINKS = 32;
