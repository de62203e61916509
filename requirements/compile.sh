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
for group in bootstrap serve; do
  "${compile[@]}" --group "pyproject.toml:$group" --constraints requirements/cpu.lock \
    --output-file "requirements/$group.lock"
done
