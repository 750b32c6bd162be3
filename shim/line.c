/*
 * One line of text, put together on the stack: no stdio, no locale, no lock. What does not fit is cut off.
 */
#include "log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <time.h>

#define MS INT64_C(1000000)

void put(struct line *l, const char *s)
{
    while (*s && l->length < sizeof l->text - 1)
        l->text[l->length++] = *s++;
}

/* A value from outside: control characters must not forge a second line. */
void put_quoted(struct line *l, const char *s)
{
    put(l, "\"");
    for (size_t most = 200; *s && most; s++, most--)
        put(l, (char[]){(unsigned char)*s < ' ' || *s == '"' || *s == 127 ? '?' : *s, 0});
    put(l, "\"");
}

/* Likewise, as one word of logfmt: a program may have any name but one with a slash or a zero. */
void put_word(struct line *l, const char *s)
{
    for (; *s; s++)
        put(l, (char[]){(unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == 127 ? '?' : *s, 0});
}

void put_number(struct line *l, uint64_t n, int width)
{
    char digits[24], *p = digits + sizeof digits - 1;
    *p = 0;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10, --width > 0 || n);
    put(l, p);
}

/* RFC 3339 in UTC, from the days since 1970 (H. Hinnant, "chrono-compatible low-level date algorithms"): gmtime_r may
   take the time zone's lock. */
void put_time(struct line *l)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t days = t.tv_sec / 86400 + 719468, second = t.tv_sec % 86400;
    int64_t era = days / 146097, doe = days % 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;
    const int64_t parts[] = {yoe + era * 400 + (month <= 2),
                             month,
                             doy - (153 * mp + 2) / 5 + 1,
                             second / 3600,
                             second / 60 % 60,
                             second % 60,
                             t.tv_nsec / MS};
    static const char *const before[] = {"", "-", "-", "T", ":", ":", "."};
    for (int i = 0; i < 7; i++) {
        put(l, before[i]);
        put_number(l, (uint64_t)parts[i], i == 0 ? 4 : i == 6 ? 3 : 2);
    }
    put(l, "Z");
}

void put_address(struct line *l, const struct sockaddr_in6 *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    char text[INET6_ADDRSTRLEN] = "?";
    bool is_six = address->sin6_family == AF_INET6;
    if (is_six)
        inet_ntop(AF_INET6, &address->sin6_addr, text, sizeof text);
    else if (address->sin6_family == AF_INET)
        inet_ntop(AF_INET, &four->sin_addr, text, sizeof text);
    if (address->sin6_family == AF_UNIX) {
        put(l, "unix");
        return;
    }
    put(l, is_six ? "[" : "");
    put(l, text);
    put(l, is_six ? "]:" : ":");
    put_number(l, ntohs(four->sin_port), 0);
}
