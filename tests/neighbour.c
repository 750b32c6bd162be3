/* neighbour [overflow]: a server of one connection whose input stays unread, and what the libraries preloaded beside the
 * shim make of its other calls: the year, fsync of a pipe (libeatmydata's succeeds), whose malloc it has. With
 * "overflow" it then writes beyond a block: AddressSanitizer ends it. */
#include "connection.h"
#include <dlfcn.h>

enum { REPLY = 600000 };

int main(int argc, char **argv)
{
    int c = answer(AF_INET, 0, 0);
    await_input(c);
    put(c, REPLY);
    Dl_info whose = {0};
    dladdr(dlsym(RTLD_DEFAULT, "malloc"), &whose);
    time_t t = time(NULL);
    char *block = malloc(10000);
    int closed = close(c);
    printf("close=%d year=%d fsync=%d malloc=%s\n", closed, gmtime(&t)->tm_year + 1900, fsync(0),
           whose.dli_fname ? strrchr(whose.dli_fname, '/') + 1 : "nobody's");
    if (argc > 1 && !strcmp(argv[1], "overflow"))
        block[argc * 5000] = 1;
    free(block);
    return 0;
}
