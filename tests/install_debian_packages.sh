#!/usr/bin/env bash
# Installs what tests/debian_packages.txt lists and this machine lacks; where that is not allowed, names it and stops.
set -euo pipefail
list=${1:-"$(dirname "$0")/debian_packages.txt"}

missing=()
while read -r package check; do
  case $package in "" | "#"*) continue ;; esac
  bash -c "$check" >/dev/null 2>&1 </dev/null || missing+=("$package")
done <"$list"
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "The tests need these Debian packages: ${missing[*]}." >&2
  echo "Install them as root, then run again: apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "Installing the Debian packages that the tests need: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # RUNLEVEL 1: packages do not start their services
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
