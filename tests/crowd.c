/* crowd PORT N BYTES: N connections at once, junk sent on each, each read to its end. Prints how
 * many were whole, that is, BYTES bytes and then EOF. */
#include "crowd.h"

int main(int argc, char **argv)
{
    if (argc != 4)
        errx(2, "usage: crowd PORT N BYTES");
    int n = atoi(argv[2]);
    struct ends ends = read_many(dial_many(n, atoi(argv[1])), n, atol(argv[3]));
    printf("whole=%d reset=%d\n", ends.whole, ends.reset);
}
