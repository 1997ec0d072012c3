// Writes one file of as many mebibytes as its argument says.

#include "hostile.h"

int main(int argc, char** argv) {
  static char block[1 << 20];
  const int count = argc > 1 ? atoi(argv[1]) : 64;
  const int fd = open("big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  for (int i = 0; i < count; ++i) {
    if (write(fd, block, sizeof(block)) != sizeof(block)) return stopped("write");
  }
  return 0;
}
