// Gives a socket of its own a name, so that others find it.

#include <sys/socket.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct sockaddr address = {.sa_family = AF_UNIX};
  int pair[2];
  (void)argc, (void)argv;
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) != 0) return stopped("socketpair");
  // Nothing but a family asks for any free abstract name.
  return bind(pair[0], &address, sizeof(address.sa_family)) == 0 ? 0 : stopped("bind");
}
