/* Asks the agent at $SSH_AUTH_SOCK for its keys and prints their number: ssh-add -l without a library. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REQUEST_IDENTITIES = 11, IDENTITIES_ANSWER = 12 };

int main(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("SSH_AUTH_SOCK");
    if (!path || strlen(path) >= sizeof address.sun_path) return 2;
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return perror("connect"), 3;
    const unsigned char request[] = {0, 0, 0, 1, REQUEST_IDENTITIES};
    if (write(fd, request, sizeof request) != sizeof request) return perror("write"), 4;
    unsigned char answer[9];
    for (size_t have = 0; have < sizeof answer;) {
        ssize_t size = read(fd, answer + have, sizeof answer - have);
        if (size <= 0) return perror("read"), 5;
        have += (size_t)size;
    }
    uint32_t count;
    memcpy(&count, answer + 5, sizeof count);
    if (answer[4] != IDENTITIES_ANSWER) return 6;
    return printf("%u keys\n", (unsigned)ntohl(count)), 0;
}
