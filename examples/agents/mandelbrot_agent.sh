#!/usr/bin/env bash
# An agent that draws the Mandelbrot set in a terminal, in C, built with make; streamed with curl alone through the
# simple API. It has no model: what it thinks is this script. What its commands print is theirs, as it came.
#
# Needs bash (3.2 or later), curl, make, a C compiler and script(1). Streams to KULTI_URL
# (default http://127.0.0.1:8080), with KULTI_API_KEY if it is set; KULTI_PACE=0 leaves out the pauses for readers.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
source ./simple_stream.sh
sources=$PWD/mandelbrot
folder=/tmp/mandelbrot
for tool in curl make cc script; do
  command -v $tool > /dev/null || { echo "this agent needs $tool" >&2; exit 1; }
done
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

start_session "${KULTI_AGENT:-mandel}" "Mandel" "🌀" "Draw the Mandelbrot set in a terminal" "${1:-}"
trap 'fail_session "stopped at line $LINENO"' ERR
trap 'fail_session "interrupted"; exit 130' INT TERM

# The story needs this step to fail; if it does not, something else is wrong.
expect_failure() {
  if run "$1"; then
    fail_session "$1 was to fail here, and did not"
    exit 1
  fi
}

set_status "starting"
think decision "One C file and a Makefile. Escape-time iteration, two picture rows in one text row with the half block ▀: its colour is the upper dot, its ground the lower one."
write_file Makefile make "$sources/Makefile"
write_file mandelbrot.c c "$sources/1-first.c"
set_status "building"
run "make"
think observation "The compiler is right to warn: a double does not print with %d. -Wall paid for itself."
write_file mandelbrot.c c "$sources/2-format.c"
run "make"
set_status "testing"
think reasoning "How would I know that a picture is right? The set is symmetric about the real axis, so row y must equal its mirror image. That is a test that a program can do."
write_file check.sh sh "$sources/check.sh"
expect_failure "sh check.sh"
report_error "the picture is not symmetric"
think evaluation "I divide by the number of rows, but the last row has the number rows - 1, so the lower edge is never reached: every row is off by a fraction of a step."
write_file mandelbrot.c c "$sources/3-symmetric.c"
expect_failure "make && sh check.sh"
think observation "Nearly. What is left must be rounding: adding up from the upper edge gives y and -y with different last bits, and a dot on the border of the set tells them apart. Counting rows from the middle makes them exact mirror images."
write_file mandelbrot.c c "$sources/4-centred.c"
run "make && sh check.sh"
set_status "drawing"
think general "Now the picture. First the whole set."
run "./mandelbrot -0.6 0 1.3 72 48 200"
think reasoning "Where it gets interesting is the seam between the heart and the disc: Seahorse Valley, at -0.7453 + 0.1127i. Deeper needs more iterations."
run "./mandelbrot -0.7453 0.1127 0.0065 72 48 1200"
set_status "measuring"
think decision "At this size the arithmetic does not matter. For a poster it would: 900 by 900 dots, 3,000 steps deep. An optimised build is one flag away, so time both."
run "time ./mandelbrot -0.7453 0.1127 0.0065 900 900 3000 > /dev/null"
run "make clean all CFLAGS='-O2 -Wall -Wextra'"
run "time ./mandelbrot -0.7453 0.1127 0.0065 900 900 3000 > /dev/null"
think evaluation "Faster for one flag, and the check still has to pass: optimisers may not change what a picture shows."
run "sh check.sh"
set_status "drawing"
think general "Now down into a spiral of the valley with the fast build, about seven times deeper at each step."
for height in 0.02 0.003 0.0004 0.00006; do
  run "./mandelbrot -0.743643 0.131825 $height 72 48 4000"
done
set_status "done"
end_session
