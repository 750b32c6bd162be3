/* What a server's plugin does: it lets go of a connection that its host gave it. Opened by
 * plugins.c with dlopen; never preloaded. */
#include <stdio.h>
#include <unistd.h>

int plugin_close(int fd) { return close(fd); }

int plugin_fclose(int fd) { return fclose(fdopen(fd, "r+")); }
