// Fills the folder that its first argument names with the mebibytes of its second, in files of
// one.

#include "hostile.h"

int main(int argc, char** argv) {
  static char block[1 << 20];
  char path[4096];
  const int count = argc > 2 ? atoi(argv[2]) : 64;
  memset(block, 1, sizeof(block));
  for (int i = 0; i < count; ++i) {
    snprintf(path, sizeof(path), "%s/ncn-fill-%d", argv[1], i);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return stopped("open");
    if (write(fd, block, sizeof(block)) != sizeof(block)) return stopped("write");
    close(fd);
  }
  return 0;
}
