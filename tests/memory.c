/* Streams that have no descriptor, and some that have one but no connection: prints what every
 * call returned. The same must be printed with the shim. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void result(const char *what, int ret)
{
    int code = errno;
    printf("%s: ret=%d errno=%d\n", what, ret, code);
    errno = 77;
}

static ssize_t cookie_write(void *cookie, const char *text, size_t n)
{
    (void)text;
    *(size_t *)cookie += n;
    return (ssize_t)n;
}

static int cookie_close(void *cookie)
{
    printf("cookie: closed after %zu bytes\n", *(size_t *)cookie);
    errno = EXDEV;
    return -1;
}

/* It knows the number of its own descriptor no more than stdio does. */
static int cookie_hides(void *cookie) { return close(*(int *)cookie); }

int main(void)
{
    char *text = NULL, room[64];
    size_t size = 0, total = 0;
    FILE *stream;
    errno = 77;

    stream = open_memstream(&text, &size);
    fputs("nothing but memory", stream);
    result("open_memstream", fclose(stream));
    printf("text=\"%s\" size=%zu\n", text, size);
    free(text);
    errno = 77;

    stream = fmemopen(room, sizeof room, "w+");
    fputs("fixed memory", stream);
    result("fmemopen", fclose(stream));
    printf("room=\"%s\"\n", room);
    errno = 77;

    stream = fopencookie(&total, "w", (cookie_io_functions_t){.write = cookie_write, .close = cookie_close});
    fputs("seventeen letters", stream);
    result("fopencookie", fclose(stream));

    int hidden = open("/dev/null", O_RDWR);
    stream = fopencookie(&hidden, "w", (cookie_io_functions_t){.close = cookie_hides});
    result("fopencookie with a descriptor", fclose(stream));
    result("which is closed", fcntl(hidden, F_GETFD));

    stream = fopen("/dev/full", "w");
    fputs("there is no room for this", stream);
    result("/dev/full", fclose(stream));

    stream = fopen("/dev/null", "r");
    close(fileno(stream));
    result("closed before", fclose(stream));

    stream = fopen("/dev/null", "r");
    int number = fileno(stream);
    stream = freopen("/dev/zero", "r", stream);
    printf("freopen: number kept %d, reads %d\n", fileno(stream) == number, getc(stream));
    errno = 77;
    result("fcloseall", fcloseall());
    result("leaves the number open", fcntl(number, F_GETFD));
    return 0;
}
