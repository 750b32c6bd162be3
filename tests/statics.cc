// An object with static storage closes the connection, descriptor 3, in its destructor: the program
// has left main by then. Run by `handoff`.
#include <poll.h>
#include <string>
#include <unistd.h>

struct Connection {
    int fd;
    explicit Connection(int number) : fd(number) {}
    ~Connection()
    {
        std::string reply(600000, 0);
        for (size_t i = 0; i < reply.size(); i++)
            reply[i] = static_cast<char>(i * 31 + (i >> 8) * 7);
        if (write(fd, reply.data(), reply.size()) < 0 || close(fd) < 0)
            _exit(1);
    }
};

static Connection connection(3);

int main()
{
    pollfd input = {connection.fd, POLLIN, 0};
    poll(&input, 1, -1);
    return 5;
}
