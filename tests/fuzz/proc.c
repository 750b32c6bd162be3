/* Any text in the files of /proc/PID that lingerclose --check reads of a process: a program names its threads, its
 * mappings and its control group as it likes, and writes over its environment.
 *
 * The input: what the files hold, in the order in which they are opened, with the byte 255 between them; what a link
 * leads to likewise. */
#include "check.h"

#include <dirent.h>

static const uint8_t *input;
static size_t left;

/* The next part of the input. */
static const uint8_t *part(size_t *size)
{
    const uint8_t *from = input, *end = left ? memchr(input, 255, left) : NULL;
    *size = end ? (size_t)(end - from) : left;
    input += *size + !!end;
    left -= *size + !!end;
    return from;
}

static FILE *part_as_file(void)
{
    size_t size;
    const uint8_t *from = part(&size);
    FILE *f = size ? fmemopen(NULL, size + 1, "w+") : NULL; /* of nothing there is none */
    if (f) {
        fwrite(from, 1, size, f);
        rewind(f);
    }
    return f;
}

static ssize_t part_as_link(char *to, size_t most)
{
    size_t size;
    const uint8_t *from = part(&size);
    memcpy(to, from, size < most ? size : most);
    return (ssize_t)(size < most ? size : most);
}

static int part_as_descriptor(void)
{
    size_t size;
    const uint8_t *from = part(&size);
    return file_of(from, size);
}

#define fopen(path, mode) ((void)(path), part_as_file())
#define readlink(path, to, most) ((void)(path), part_as_link(to, most))
#define chroot(path) ((void)(path), -1)
#include "../../scripts/check-process.c"

#define open(path, flags) ((void)(path), part_as_descriptor())
#include "../../scripts/check-memory.c"
#undef open
#include "../../scripts/check-lingering.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data, left = size;
    library = "/usr/lib/liblingerclose.so";
    sockets = 0;
    any = false;
    check_process(getpid());
    return 0;
}
