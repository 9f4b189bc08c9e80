#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Looks up the current digest of each tag of a base image of the Dockerfile and compose.yaml. Prints the images with their digests, as lines
# of an .env file, or writes them into the given file (a path from the repository's root), and keeps its other lines:
#   scripts/pin-images.sh .env && docker compose up
# Queries the registries through Docker's buildx. Review the changes before you keep them.
set -euo pipefail
cd "$(dirname "$0")/.."

# ${NAME_IMAGE:-image:tag}, except the image that is built here.
pinned=$(grep -oE '\$\{[A-Z]+_IMAGE:-[^}]+\}' compose.yaml | grep -v local | sort -u | tr -d '${}' |
  while IFS= read -r default; do
    name=${default%%:-*}
    image=${default#*:-}
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image" </dev/null)
    if [[ ! $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
      echo "pin-images.sh: no digest of $image: \"$digest\"" >&2
      exit 1
    fi
    echo "$name=$image@$digest"
  done)
if (($# == 0)); then
  echo "$pinned"
else
  kept=$(grep -svE '^[A-Z]+_IMAGE=' "$1" || true)
  printf '%s\n' ${kept:+"$kept"} "$pinned" >"$1"
fi
