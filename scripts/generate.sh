#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generates gen/ anew from the .proto files. With an argument, into that directory's gen/ instead. When something fails, what was
# there stays.
set -euo pipefail
cd "$(dirname "$0")/.."
final="${1:-.}/gen"
image="$(mktemp -d)"
# Beside what it replaces, so that it can be put in its place in one step.
target="$(mktemp -d "$final.new-XXXXXX")"
trap 'rm -rf "$image" "$target"' EXIT

node_modules/.bin/buf generate proto --template buf.gen.yaml --output "$target"

# The error details of google.rpc. Through an image without source info: the comments of those files stay theirs.
googleapis=node_modules/@grpc/grpc-js-xds/deps/googleapis
node_modules/.bin/buf build "$googleapis" --exclude-source-info --output "$image/google-rpc.binpb" \
  --path "$googleapis/google/rpc/status.proto" --path "$googleapis/google/rpc/error_details.proto"
node_modules/.bin/buf generate "$image/google-rpc.binpb" --template buf.gen.yaml --output "$target"

# Health checks, as every gRPC server answers them: under the name that other languages import, and again without comments.
mkdir -p "$image/health/grpc/health/v1"
cp node_modules/grpc-health-check/proto/health/v1/health.proto "$image/health/grpc/health/v1"
node_modules/.bin/buf build "$image/health" --exclude-source-info --output "$image/health.binpb"
node_modules/.bin/buf generate "$image/health.binpb" --template buf.gen.yaml --output "$target"

# What Envoy asks an external authorization service (ext_authz): its messages alone, without the options that describe
# them to other programs, and without the files that those options are defined in. No comments here either.
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
