// Looks for open descriptors that nobody gave to it.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  for (int fd = 3; fd < 1024; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) {
      fprintf(stderr, "descriptor %d is open\n", fd);
      return 0;
    }
  }
  errno = EBADF;
  return stopped("descriptors above 2");
}
