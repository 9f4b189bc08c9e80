#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Regenerates gen/ from the .proto files. With an argument, generates gen/ in that directory instead. On failure the existing files
# are unchanged.
set -euo pipefail
cd "$(dirname "$0")/.."
final="${1:-.}/gen"
image="$(mktemp -d)"
# In the same folder as its target, so that a rename can replace the target in one step.
target="$(mktemp -d "$final.new-XXXXXX")"
trap 'rm -rf "$image" "$target"' EXIT

node_modules/.bin/buf generate proto --template buf.gen.yaml --output "$target"

# The error details of google.rpc. Built as an image without source info, which omits the comments of those files. The copy in
# @grpc/grpc-js-xds is older than the field `reason` of a violation (https://google.aip.dev/193), which is added here.
googleapis="$image/googleapis"
mkdir -p "$googleapis/google/rpc"
copied=node_modules/@grpc/grpc-js-xds/deps/googleapis/google/rpc
cp "$copied/status.proto" "$googleapis/google/rpc"
sed '/message FieldViolation/,/}/ s/string description = 2;/& string reason = 3;/' "$copied/error_details.proto" \
  >"$googleapis/google/rpc/error_details.proto"
node_modules/.bin/buf build "$googleapis" --exclude-source-info --output "$image/google-rpc.binpb" \
  --path "$googleapis/google/rpc/status.proto" --path "$googleapis/google/rpc/error_details.proto"
node_modules/.bin/buf generate "$image/google-rpc.binpb" --template buf.gen.yaml --output "$target"

# The standard gRPC health service, under the path that other languages import, also without comments.
mkdir -p "$image/health/grpc/health/v1"
cp node_modules/grpc-health-check/proto/health/v1/health.proto "$image/health/grpc/health/v1"
node_modules/.bin/buf build "$image/health" --exclude-source-info --output "$image/health.binpb"
node_modules/.bin/buf generate "$image/health.binpb" --template buf.gen.yaml --output "$target"

# Messages of Envoy's external authorization (ext_authz): without the options that describe them to other programs, the files that
# define these options, and comments.
(
  cd node_modules/@grpc/grpc-js-xds/deps
  ../../../.bin/buf build . --exclude-source-info --output "$image/ext-authz.binpb" \
    --config '{"version": "v2", "modules": [{"path": "envoy-api"}, {"path": "googleapis"}, {"path": "protoc-gen-validate"}, {"path": "xds"}]}' \
    --path envoy-api/envoy/service/auth/v3/external_auth.proto --type envoy.service.auth.v3.Authorization
)
node_modules/.bin/buf generate "$image/ext-authz.binpb" --include-imports --template buf.gen.yaml --output "$target" \
  --type envoy.service.auth.v3.Authorization \
  --exclude-type 'envoy.annotations.**' --exclude-type 'udpa.annotations.**' --exclude-type 'validate.**'

node scripts/swap.mjs "$target/gen" "$final"
