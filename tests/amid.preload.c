/* system() that is interrupted before it makes its child. */
#include <dlfcn.h>
#include <signal.h>

int system(const char *command)
{
    int (*next)(const char *);
    *(void **)&next = dlsym(RTLD_NEXT, "system");
    raise(SIGUSR1);
    return next(command);
}
