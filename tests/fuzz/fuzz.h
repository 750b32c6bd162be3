/* What the fuzz targets share: what must not be so ends the run, and libFuzzer keeps the input. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(bool so, const char *what)
{
    if (!so) {
        fprintf(stderr, "fuzz: it is not so that %s\n", what);
        abort();
    }
}

/* What goes to a terminal. Bytes above 127 may be letters. */
static inline void must_be_printable(const char *text)
{
    for (; *text; text++)
        must((unsigned char)*text >= ' ' ? *text != 127 : *text == '\n', "only printable characters are printed");
}

/* A file with this in it, open from its beginning. */
static inline int file_of(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    must(fd >= 0 && pwrite(fd, data, size, 0) == (ssize_t)size, "there is memory for a file");
    return fd;
}

#endif
