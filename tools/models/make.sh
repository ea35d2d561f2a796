#!/bin/sh
# Makes bundled models and data again: tools/models/make.sh [data|pocket|class|guard|judge|goldens|manifests|all]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build="$here/build"
python=${PYTHON:-python3}
cd "$here"
mkdir -p "$build"

data() { "$python" write_data.py --out "$root/public/data"; }
pocket() {
  "$python" train_student.py --out "$build/pocket" --steps 1700
  "$python" export_student.py --student "$build/pocket" --out "$root/public/models/pocket"
}
class() {
  "$python" train_student.py --size class --out "$build/class" --steps 3000 --checkpoint-every 50
  "$python" export_student.py --student "$build/class" --out "$root/public/models/class"
}
encoder() {
  "$python" train_encoder.py "$1" --out "$build/$1" --steps "$2"
  "$python" export_encoder.py "$1" --encoder "$build/$1" --out "$root/public/models/$1"
}
goldens() {
  for script in goldens adapter_goldens objective_goldens; do
    "$python" "$script.py" --student "$root/public/models/pocket" --out "$root/tests/fixtures/pocket"
  done
  "$python" goldens.py --student "$root/public/models/class" --out "$root/tests/fixtures/class" --small
}
manifests() { "$python" manifest.py --models "$root/public/models"; }

case "${1:-all}" in
  data | pocket | class | goldens | manifests) "$1" ;;
  guard) encoder guard 1600 ;;
  judge) encoder judge 1400 ;;
  all) data; pocket; class; encoder guard 1600; encoder judge 1400; goldens; manifests ;;
  *) echo "usage: make.sh [data|pocket|class|guard|judge|goldens|manifests|all]" >&2; exit 2 ;;
esac
