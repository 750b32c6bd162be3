/* plugins PLUGIN FUNCTION [deep]: opens the plugin with dlopen, calls its function with the
 * connection, and closes the plugin. deep: with RTLD_DEEPBIND. */
#include "connection.h"
#include <dlfcn.h>

int main(int argc, char **argv)
{
    if (argc < 3)
        errx(2, "usage: plugins PLUGIN FUNCTION [deep]");
    int fd = answer(AF_INET, 0, 0);
    void *plugin = dlopen(argv[1], RTLD_NOW | (argc > 3 ? RTLD_DEEPBIND : 0));
    if (!plugin)
        errx(1, "%s", dlerror());
    int (*let_go)(int) = (int (*)(int))dlsym(plugin, argv[2]);
    if (!let_go)
        errx(1, "%s", dlerror());
    await_input(fd);
    put(fd, 600000);
    printf("ret=%d\n", let_go(fd));
    dlclose(plugin);
    return 0;
}
