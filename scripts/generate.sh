#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Generates gen/ anew from the .proto files. With an argument, into that directory's gen/ instead.
set -euo pipefail
cd "$(dirname "$0")/.."
target="${1:-.}"
image="$(mktemp -d)"
trap 'rm -rf "$image"' EXIT

rm -rf "$target/gen"
node_modules/.bin/buf generate proto --template buf.gen.yaml --output "$target"

# The error details of google.rpc. Through an image without source info: the comments of those files stay theirs.
googleapis=node_modules/@grpc/grpc-js-xds/deps/googleapis
node_modules/.bin/buf build "$googleapis" --exclude-source-info --output "$image/google-rpc.binpb" \
  --path "$googleapis/google/rpc/status.proto" --path "$googleapis/google/rpc/error_details.proto"
node_modules/.bin/buf generate "$image/google-rpc.binpb" --template buf.gen.yaml --output "$target"
