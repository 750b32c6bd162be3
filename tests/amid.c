/* amid: a server that accepts its connection while system() is about to make its child, as another thread may: amid.so
 * stands behind the shim and raises SIGUSR1 there. The child inherits the connection and ends, then the reply comes. */
#include "connection.h"
#include <signal.h>

static int listening, connection = -1;

static void take(int signal)
{
    (void)signal;
    connection = accept(listening, NULL, NULL);
}

int main(void)
{
    listening = listener(AF_INET, 0, 0);
    signal(SIGUSR1, take);
    await_input(listening);
    if (system(":") || connection < 0)
        errx(1, "no connection came amid system()");
    await_input(connection);
    put(connection, 600000);
    close(connection);
    return 0;
}
