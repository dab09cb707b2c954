/* Draws a view of the Mandelbrot set: mandelbrot RE IM HEIGHT COLUMNS ROWS DEPTH [plain] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How fast a point escapes, smoothed; -1 for one that stays. */
static double escape(double re, double im, int depth)
{
    double x = 0, y = 0;
    for (int i = 0; i < depth; i++) {
        double x2 = x * x, y2 = y * y;
        if (x2 + y2 > 256)
            return i + 1 - log2(log2(x2 + y2) / 2);
        y = 2 * x * y + im;
        x = x2 - y2 + re;
    }
    return -1;
}

static void colour(double speed, int rgb[3])
{
    for (int i = 0; i < 3; i++)
        rgb[i] = speed < 0 ? 0 : (int)(15.5 + 15.5 * cos(0.7 * sqrt(speed) + 4.2 - i * 0.7)) * 8;
}

/* Changes a colour if it is another one than before. */
static void paint(int layer, const int rgb[3], int now[3])
{
    if (memcmp(rgb, now, 3 * sizeof *rgb) == 0)
        return;
    printf("\033[%d;2;%d;%d;%dm", layer, rgb[0], rgb[1], rgb[2]);
    memcpy(now, rgb, 3 * sizeof *rgb);
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: %s RE IM HEIGHT COLUMNS ROWS DEPTH [plain]\n", argv[0]);
        return 2;
    }
    double re = atof(argv[1]), im = atof(argv[2]), height = atof(argv[3]);
    int columns = atoi(argv[4]), rows = atoi(argv[5]), depth = atoi(argv[6]);
    double step = 2 * height / (rows - 1);
    for (int row = 0; row < rows; row += 2) {
        int ink[3] = {-1}, ground[3] = {-1};
        for (int column = 0; column < columns; column++) {
            double x = re + (column - (columns - 1) / 2.0) * step;
            double upper = escape(x, im + height - row * step, depth);
            double lower = escape(x, im + height - (row + 1) * step, depth);
            int a[3], b[3];
            colour(upper, a);
            colour(lower, b);
            if (argc > 7)
                printf("%.4f %.4f\n", upper, lower);
            else {
                paint(38, a, ink);
                paint(48, b, ground);
                printf("▀");
            }
        }
        if (argc <= 7)
            printf("\033[0m\n");
        fflush(stdout);
    }
    return 0;
}
