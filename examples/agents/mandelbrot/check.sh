# The set is symmetric about the real axis: what the upper half shows, the lower half shows in reverse.
./mandelbrot -0.6 0 1.2 40 40 300 plain > dots.txt
awk '{ for (half = 1; half <= 2; half++) dot[int((NR - 1) / 40) * 2 + half - 1, (NR - 1) % 40] = $half }
END {
  for (row = 0; row < 20; row++) for (column = 0; column < 40; column++) {
    seen++
    if (dot[row, column] != dot[39 - row, column]) wrong++
  }
  if (wrong) printf "\033[31mFAIL\033[0m %d of %d dots differ from their mirror image\n", wrong, seen
  else printf "\033[32mPASS\033[0m all %d dots equal their mirror image\n", seen
  exit wrong > 0
}' dots.txt
