#!/usr/bin/env bash
# Writes the locks from pyproject.toml. Versions that still fit are kept; newer ones: requirements/compile.sh --upgrade
set -euo pipefail
cd "$(dirname "$0")/.."

uv=${UV:-.venv/bin/uv}
target=(--python-version 3.11 --python-platform x86_64-manylinux_2_28)
compile=("$uv" pip compile --quiet --generate-hashes --no-emit-index-url --no-header "${target[@]}" "$@")

# torch for CPUs is no package of the ordinary index: it comes from a folder of wheels or from PyTorch's own index.
if [ -n "${PIP_FIND_LINKS:-}" ]; then torch_cpu=(--find-links "$PIP_FIND_LINKS"); else torch_cpu=(--torch-backend cpu); fi

"${compile[@]}" pyproject.toml --extra cpu --extra test "${torch_cpu[@]}" --output-file requirements/cpu.lock
"${compile[@]}" pyproject.toml --extra gpu --extra test --output-file requirements/gpu.lock

# Spark goes on top of either lock: only what they do not have.
locked=()
while read -r name; do locked+=(--no-emit-package "$name"); done < <(sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' requirements/cpu.lock)
"${compile[@]}" pyproject.toml --extra spark --constraints requirements/cpu.lock "${torch_cpu[@]}" "${locked[@]}" \
  --output-file requirements/spark.lock
sed -i '/^$/,$d' requirements/spark.lock # the list of what was left out

for group in bootstrap serve; do
  "${compile[@]}" --group "pyproject.toml:$group" --constraints requirements/cpu.lock \
    --output-file "requirements/$group.lock"
done
