#!/usr/bin/env bash
# Looks the digest of every image up again by its tag and writes it into the Dockerfiles and compose.yaml.
# Needs docker with buildx, and a network. Change a tag by hand (and drop its digest), then run this.
set -euo pipefail
cd "$(dirname "$0")"
files=(Dockerfile.train Dockerfile.serve compose.yaml)

grep -hoE '^(ARG PYTHON_IMAGE=| +image: )[a-z0-9./-]+:[A-Za-z0-9._-]+' "${files[@]}" |
  sed -E 's/^(ARG PYTHON_IMAGE=| +image: )//' | grep -v '^sentinel-' | sort -u |
  while read -r image; do
    digest=$(docker buildx imagetools inspect "$image" --format '{{.Manifest.Digest}}')
    [[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "No digest for $image: '$digest'." >&2; exit 1; }
    sed -i -E "s|${image//./\\.}(@sha256:[0-9a-f]+)?\$|$image@$digest|" "${files[@]}"
    echo "$image@$digest"
  done
