"""Talks to a running TokenBlacklist as any Python program would, and prints what it saw as JSON.

Usage: conversation.py ADDRESS STUBS, where STUBS is the folder that protoc wrote its modules to.
The service must run with EXPIRY_LEEWAY=0, or the token that is pruned here could not expire in time.
"""

import json
import sys
import time

import grpc

ADDRESS, STUBS = sys.argv[1:]
sys.path.insert(0, STUBS)

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from tokenblacklist.v1 import token_blacklist_pb2 as api  # noqa: E402
from tokenblacklist.v1 import token_blacklist_pb2_grpc as api_grpc  # noqa: E402

YEAR_2100 = 4102444800
SERVICE = "tokenblacklist.v1.TokenBlacklist"


def token(jti, expires_at=YEAR_2100, reason=""):
    message = api.TokenToBlacklist(jti=jti, reason=reason)
    message.expires_at.seconds = expires_at
    return message


def stored(message):
    return {
        "jti": message.jti,
        "expires_at": message.expires_at.seconds,
        "created_lately": abs(time.time() - message.created_at.seconds) < 60,
        "reason": message.reason,
        "revoked_by": message.revoked_by,
    }


def results(response):
    name = api.BlacklistResult.Outcome.Name
    return [[name(result.outcome), stored(result.token)] for result in response.results]


def verdicts(response):
    return [api.Verdict.Name(verdict) for verdict in response.verdicts]


def refusal(call, request):
    """The error that a call ends with, and the details that travel with it."""
    try:
        call(request, timeout=10)
    except grpc.RpcError as error:
        seen = {"code": error.code().name}
        for key, value in error.trailing_metadata():
            if key != "grpc-status-details-bin":
                continue
            for detail in status_pb2.Status.FromString(value).details:
                info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
                if detail.Unpack(info):
                    seen["info"] = [info.reason, info.domain]
                elif detail.Unpack(bad_request):
                    seen["fields"] = [violation.field for violation in bad_request.field_violations]
        return seen
    return "no error"


def pages(service, **request):
    """How long every page is, and whom they name; sorted, since all were created at the same instant."""
    sizes, jtis, page_token = [], [], ""
    while True:
        page = service.List(api.ListRequest(page_token=page_token, **request), timeout=10)
        sizes.append(len(page.tokens))
        jtis.extend(entry.jti for entry in page.tokens)
        page_token = page.next_page_token
        if not page_token:
            return {"sizes": sizes, "jtis": sorted(jtis)}


def prune_once_expired(service):
    """Dry runs until the entry has expired, then a real run, then another that finds nothing."""
    give_up = time.monotonic() + 20
    counts = [0]
    while counts[0] == 0 and time.monotonic() < give_up:
        counts[0] = service.Prune(api.PruneRequest(dry_run=True), timeout=10).pruned_count
        time.sleep(0.05)
    for _ in range(2):
        counts.append(service.Prune(api.PruneRequest(max_count=10), timeout=10).pruned_count)
    return counts


def converse(channel):
    service = api_grpc.TokenBlacklistStub(channel)
    health = health_pb2_grpc.HealthStub(channel)
    seen = {}

    def status_of(name):
        answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    seen["health"] = [status_of(""), status_of(SERVICE)]

    tokens = [token("py-1", reason="logged out"), token("py-2"), token("py-é")]
    first = service.Blacklist(api.BlacklistRequest(tokens=tokens), timeout=10)
    seen["first"] = results(first)
    again = [token("py-1", YEAR_2100 + 1, "too late"), token("py-2")]
    seen["again"] = results(service.Blacklist(api.BlacklistRequest(tokens=again), timeout=10))

    jtis = ["py-1", "PY-1", "py-é", "nobody's"]
    fresh = service.IsBlacklisted(api.IsBlacklistedRequest(jtis=jtis), timeout=10)
    seen["fresh"] = verdicts(fresh)
    since = api.IsBlacklistedRequest(jtis=jtis, at_least_revision=first.revision)
    seen["since"] = verdicts(service.IsBlacklisted(since, timeout=10))
    stale = api.IsBlacklistedRequest(jtis=jtis)
    stale.max_staleness.seconds = 5
    seen["stale"] = verdicts(service.IsBlacklisted(stale, timeout=10))

    seen["pages"] = pages(service, page_size=2)
    seen["found"] = [stored(t) for t in service.List(api.ListRequest(jtis=["py-2", "x"]), timeout=10).tokens]

    soon = token("py-soon", int(time.time()) + 2)
    service.Blacklist(api.BlacklistRequest(tokens=[soon]), timeout=10)
    seen["pruned"] = prune_once_expired(service)

    wrong = [token("", YEAR_2100), token("py-old", 1), api.TokenToBlacklist(jti="py-bare", reason="x" * 513)]
    seen["wrong tokens"] = refusal(service.Blacklist, api.BlacklistRequest(tokens=wrong))
    seen["no jtis"] = refusal(service.IsBlacklisted, api.IsBlacklistedRequest())
    unknown = api.IsBlacklistedRequest(jtis=["py-1"], at_least_revision="tomorrow")
    seen["wrong revision"] = refusal(service.IsBlacklisted, unknown)
    seen["wrong page size"] = refusal(service.List, api.ListRequest(page_size=-1))
    seen["wrong page token"] = refusal(service.List, api.ListRequest(page_token="page 2"))
    seen["wrong count"] = refusal(service.Prune, api.PruneRequest(max_count=-1))
    return seen


with grpc.insecure_channel(ADDRESS) as open_channel:
    json.dump(converse(open_channel), sys.stdout)
