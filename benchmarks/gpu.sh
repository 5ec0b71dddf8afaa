#!/bin/sh
# The book on a GPU in three calls of ten minutes, by value per minute, on a machine that has PyTorch and no network:
#
#     make wheelhouse FOR=3.12 WITHOUT="torch numpy ..."      # here, once: its Python, what it has already, what is too large
#     WHEELS=_build/wheelhouse sh benchmarks/gpu.sh 1         # there: claims at laptop scale, then what was recorded of networks
#     WHEELS=_build/wheelhouse sh benchmarks/gpu.sh 2         # ResNet-20's tables, as many epochs as the time holds
#     WHEELS=_build/wheelhouse sh benchmarks/gpu.sh 3         # every claim of the network chapters at full scale
#
# Nothing recorded on a processor is read: FRESH starts empty. Carry FRESH from call to call (with its *.partial files) and
# call 2 as often as wanted: it goes on where it was broken off. DEVICE=cpu MINUTES=0.1 rehearses the script.
set -eu
FRESH=${FRESH:-_build/gpu/results}
DEVICE=${DEVICE:-cuda}
MINUTES=${MINUTES:-9}
PYTHON=${PYTHON:-python3}
if [ -n "${WHEELS:-}" ]; then
  $PYTHON -m pip install --quiet --no-index --no-deps --no-compile --target _build/gpu/site "$WHEELS"/*.whl
  export PYTHONPATH="_build/gpu/site${PYTHONPATH:+:$PYTHONPATH}"
fi
export PYTHONPATH="lib${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1 PYTHONHASHSEED=0 DEEPATOMS_STATIC=1
mkdir -p "$FRESH"
full() { DEEPATOMS_RESULTS=$FRESH $PYTHON -m deepatoms.press full "$1" --device "$DEVICE" --minutes "$2"; }
case ${1:-} in
  1) # What fails here fails for every reader with a GPU: first the claims that need no record.
     $PYTHON -m deepatoms.press regress --device "$DEVICE" --chapter resnests --chapter spline-templates || true
     for name in digits-resnests orthogonal-penalties skip-generalization-digits; do full $name "$MINUTES"; done ;;
  2) full resnest-tables "$MINUTES" ;;
  3) for name in template-inner-products partition-neighbours; do full $name "$MINUTES"; done
     $PYTHON -m deepatoms.press regress --profile full --device "$DEVICE" --results "$FRESH" --chapter spline-templates ;;
  *) sed -n '2,/^set/p' "$0" | grep '^#'; exit 2 ;;
esac
DEEPATOMS_RESULTS=$FRESH $PYTHON -m deepatoms.press full
