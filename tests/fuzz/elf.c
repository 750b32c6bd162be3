/* Any file that lingerclose --check may be asked about: an ELF program, a script, neither. */
#include "check.h"

#include "../../scripts/check-file.c" /* for its count of scripts */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = file_of(data, size);
    library = "/proc/self/exe";
    depth = 0;
    *executable = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check_file(path, false);
    check_file(path, true);
    check_go(path);
    close(fd);
    return 0;
}
