// Connects to the unix socket that its argument names; a leading @ means the abstract kind.

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const size_t length = strlen(argv[argc - 1]);
  memcpy(address.sun_path, argv[argc - 1], length);
  if (address.sun_path[0] == '@') address.sun_path[0] = 0;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return stopped("socket");
  const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  return connect(fd, (struct sockaddr*)&address, size) == 0 ? 0 : stopped("connect");
}
